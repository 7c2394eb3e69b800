// Asks the edge for its figures every two seconds, and shows them. All addresses are relative: see page_routes.py.
import {Chart, html} from "./charts.js";

const POLL_MS = 2000;
// What was written while the last answer was made is asked for again.
const OVERLAP_S = 5;
// The hit ratio of a point is that of these seconds. With a few requests a second, it would else jump from 0 to 100 %.
const WINDOW_S = {seconds: 10, minutes: 0};
const SPAN_S = {seconds: 300, minutes: 3600};
const SIZES = {high: "344 px", medium: "172 px", none: "bad request"};
const OUTCOMES = ["hit", "stale", "revalidated", "miss", "collapsed", "bypass", "error"];
const STAGES = ["store", "origin", "source", "encode", "queue", "entropy", "synthesis", "file"];
const SOURCES = {memory: "from memory", codec: "decoded", shared: "shared decode",
  latent: "latent for a child edge", origin: "from the origin's picture", none: "no body (304, HEAD)"};

const at = id => document.getElementById(id);
const say = (id, text) => { if (at(id).textContent !== text) at(id).textContent = text; };
const whole = n => Math.round(n).toLocaleString("en");
const short = n => n >= 100 || Number.isInteger(n) ? whole(n) : n.toPrecision(2);
const percent = n => `${(100 * n).toFixed(1)}\u00a0%`;
const ms = n => n >= 1000 ? `${(n / 1000).toFixed(n >= 10000 ? 0 : 1)}\u00a0s` : `${n >= 10 ? n.toFixed(0) : n.toPrecision(2)}\u00a0ms`;
const bytes = n => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) { n /= 1000; unit += 1; }
  return `${unit && n < 100 ? n.toFixed(1) : n.toFixed(0)}\u00a0${units[unit]}`;
};

const charts = {
  ratio: new Chart(at("chart-ratio"), {title: "Hit ratio", format: percent, scale: "ratio"}),
  latency: new Chart(at("chart-latency"), {title: "Time to answer", format: ms, scale: "log"}),
  requests: new Chart(at("chart-requests"), {title: "Requests a second", format: short, scale: "linear"}),
  bytes: new Chart(at("chart-bytes"), {title: "Bytes a second", format: bytes, scale: "linear"}),
  queue: new Chart(at("chart-queue"), {title: "Waiting for the codec, and connections", format: short, scale: "linear"}),
};
const past = {seconds: [], minutes: []};
let now_s = 0;

const chosen = name => at("controls").elements[name].value;
const sizes = () => chosen("size") ? [chosen("size")] : ["high", "medium"];
const sum = values => values.reduce((total, one) => total + one, 0);
const count = (point, outcome) => sum(sizes().map(size => point.requests[size][outcome]));

function ratios(points, window_s) {
  const counted = points.map(point => sum(["hit", "stale", "revalidated", "miss", "collapsed"].map(one => count(point, one))));
  const hits = points.map(point => count(point, "hit") + count(point, "stale"));
  return points.map(({at_s}, index) => {
    let first = index;
    while (first > 0 && points[first - 1].at_s > at_s - window_s) first -= 1;
    const all = sum(counted.slice(first, index + 1));
    return all ? sum(hits.slice(first, index + 1)) / all : null;
  });
}

function time(point, size, kind) {
  const quantiles = point.latency_ms[size][kind];
  return quantiles === null ? null : quantiles[Number(chosen("quantile"))];
}

function drawCharts() {
  const range = chosen("range"), points = past[range];
  const frame = {times: points.map(one => one.at_s), from_s: now_s - SPAN_S[range], to_s: now_s};
  const draw = (name, series) => charts[name].draw({...frame,
    series: Object.entries(series).map(([label, read]) => ({name: label, values: points.map(read)}))});
  const ofWindow = new Map(ratios(points, WINDOW_S[range]).map((ratio, index) => [points[index], ratio]));
  draw("ratio", {
    "latents": point => ofWindow.get(point),
    "latents, last hour": point => point.shadow.latents,
    "as AVIF files, last hour": point => point.shadow.avif,
    "as JPEG files, last hour": point => point.shadow.jpeg,
  });
  const times = {};
  for (const kind of ["memory", "decoded", "miss"]) {
    for (const size of sizes()) times[`${kind} ${SIZES[size]}`] = point => time(point, size, kind);
  }
  draw("latency", times);
  draw("requests", Object.fromEntries(OUTCOMES.map(one => [one, point => count(point, one) / point.span_s])));
  draw("bytes", {
    "origin egress avoided": point => point.avoided_bytes / point.span_s,
    "fetched from the origin": point => point.fetched_bytes / point.span_s,
    "sent to clients": point => point.sent_bytes / point.span_s,
  });
  draw("queue", {"waiting": point => point.queue, "connections": point => point.connections});
}

function remember(news) {
  now_s = news.now_s;
  for (const range of Object.keys(past)) {
    const latest_s = past[range].at(-1)?.at_s ?? 0;
    past[range] = [...past[range], ...news[range].filter(point => point.at_s > latest_s)]
      .filter(point => point.at_s > now_s - SPAN_S[range]);
  }
}

function fill(id, heads, rows) {
  const cells = (kind, texts) => texts.map((text, column) => {
    const cell = html(column ? kind : "th", {scope: kind === "th" ? "col" : "row"}, text);
    if (kind === "td" && column) cell.removeAttribute("scope");
    if (heads[column].startsWith(" ")) cell.className = "text";
    return cell;
  });
  const body = html("tbody", {}, ...rows.map(row => html("tr", {}, ...cells("td", row))));
  at(id).replaceChildren(html("thead", {}, html("tr", {}, ...cells("th", heads.map(one => one.trim())))), body);
}

function showHits(hits, source, id) {
  const found = Object.keys(SIZES).map(size => hits.find(one => one.res === size && one.source === source)).filter(Boolean);
  say(`${id}-time`, found.length ? found.map(one => ms(one.p50_ms)).join(" / ") : "–");
  say(`${id}-note`, found.length ? `${found.map(one => SIZES[one.res]).join(" / ")}; 99\u00a0% within ${found.map(one => ms(one.p99_ms)).join(" / ")}` : "none yet");
}

// Bars of equal kind: name, share of the widest, and text.
function showBars(id, rows) {
  at(id).replaceChildren(html("dl", {class: "same"}, ...rows.flatMap(({name, share, text}) => {
    const bar = html("i");
    bar.style.width = `${100 * Math.min(1, share)}%`;
    return [html("dt", {}, name), html("dd", {class: "bar", "aria-hidden": "true"}, bar), html("dd", {}, text)];
  })));
}

function showSame(shadow, store) {
  const text = (value, error) => value === null ? "–" : percent(value) + (error ? ` ± ${(100 * error).toFixed(1)}` : "");
  const row = (name, value, error) => ({name, share: value ?? 0, text: text(value, error)});
  showBars("same", [row("latents", shadow.latents, 0), row("AVIF files", shadow.avif, shadow.avif_error),
    row("JPEG files", shadow.jpeg, shadow.jpeg_error)]);
  const factor = store.latent_bytes ? store.conventional_bytes / store.latent_bytes : 0;
  const sample = `Hit ratio of the last hour; that of files from a sample of ${percent(shadow.sampled_share)} of the pictures`;
  const state = shadow.is_full ? "." : ", which has not filled the memory yet.";
  say("same-note", sample + state + (factor ? ` As JPEG files of quality 80 in both sizes, the stored pictures would take ${factor.toFixed(1)} times the bytes.` : ""));
}

function show(now) {
  const codec = now.codec, refined = now.refinement, store = now.store;
  const quality = codec.quality ?? `for SSIMULACRA2 ${codec.target_ssimulacra2}`;
  say("codec", `${codec.device}, head ${codec.head}, ${codec.kernels.replaceAll(",", ", ")}, quality ${quality}, stream ${codec.stream_id}`);
  say("version", `latentedge ${now.version}`);
  say("ratio", now.hit_ratio === null ? "–" : percent(now.hit_ratio));
  say("ratio-note", `${whole(now.requests_total)} requests since the start`);
  showHits(now.hits, "memory", "memory");
  showHits(now.hits, "codec", "decoded");
  say("avoided", bytes(now.origin.avoided_bytes));
  say("avoided-note", `${bytes(now.origin.fetched_bytes)} fetched in ${whole(now.origin.requests)} requests`);
  showSame(now.shadow, store);
  fill("store", ["what", "now"], [
    ["pictures", whole(store.objects)],
    ["memory of the store in use", bytes(store.used_bytes)],
    ["its limit", store.limit_bytes ? bytes(store.limit_bytes) : "none"],
    ["records evicted", whole(store.evicted)],
    ["screen streams in the store", whole(store.screens)],
    ["latents refined", whole(refined.stored)],
    ["their bytes, first and refined", `${bytes(refined.first_bytes)}, ${bytes(refined.refined_bytes)}`],
  ]);
  const stages = [...now.stages].sort((one, other) => STAGES.indexOf(one.stage) - STAGES.indexOf(other.stage));
  fill("stages", ["stage", "count", "mean"], stages.map(one => [one.stage, whole(one.count), ms(one.mean_ms)]));
  fill("requests", ["size", " outcome", "count", "sent", "mean", "median", "99 %"], now.requests.map(one =>
    [SIZES[one.res] ?? one.res, one.status, whole(one.count), bytes(one.sent_bytes), ms(one.mean_ms), ms(one.p50_ms), ms(one.p99_ms)]));
  fill("hits", ["size", " file", "count", "mean", "median", "99 %"], now.hits.map(one =>
    [SIZES[one.res] ?? one.res, SOURCES[one.source] ?? one.source, whole(one.count), ms(one.mean_ms), ms(one.p50_ms), ms(one.p99_ms)]));
  at("state").className = store.answers ? "" : "bad";
  say("state", store.answers ? "running" : "the store does not answer: pictures come from the origin");
}

async function ask(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}

async function look() {
  try {
    const after_s = (past.seconds.at(-1)?.at_s ?? 0) - OVERLAP_S;
    const [stats, news] = await Promise.all([ask("stats"), ask(`history?after=${after_s}`)]);
    remember(news);
    show(stats);
    drawCharts();
  } catch {
    at("state").className = "bad";
    say("state", "the edge does not answer");
  }
  setTimeout(look, POLL_MS);
}

at("controls").addEventListener("change", drawCharts);
addEventListener("resize", drawCharts);
look();
