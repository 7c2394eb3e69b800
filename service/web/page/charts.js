// Line charts as inline SVG, each with a legend, a cursor for pointer and arrow keys, and its figures as a table.
const WIDTH = 520, HEIGHT = 190, LEFT = 52, RIGHT = 8, TOP = 8, BOTTOM = 22;
const TABLE_ROWS = 60;

const svg = (name, attributes = {}) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

export const html = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

export const clock = (at_s, withSeconds = true) => new Date(at_s * 1000).toLocaleTimeString("en-GB",
  withSeconds ? {} : {hour: "2-digit", minute: "2-digit"});

const known = values => values.filter(value => value !== null);

// The least of 1, 2, 5, 10, 20, ... that is not below a value.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find(one => one * power >= value * 0.999) * power;
}

function linear(most) {
  const top = roundUp(most || 1);
  return {ticks: [0, top / 2, top], at: value => Math.min(1, value / top)};
}

// For times: a hit from memory and a miss differ by three decades.
function logarithmic(values) {
  const positive = values.filter(value => value > 0);
  const low = Math.floor(Math.log10(Math.min(...positive, 1))), high = Math.ceil(Math.log10(Math.max(...positive, 10)));
  const ticks = Array.from({length: high - low + 1}, (_, step) => 10 ** (low + step));
  return {ticks, at: value => Math.max(0, (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low))};
}

export class Chart {
  // `format` writes a value; `scale` is "ratio" (0 to 1), "log" or "linear".
  constructor(figure, {title, format, scale}) {
    this.title = title;
    this.format = format;
    this.scale = scale;
    this.cursor = null;
    this.drawing = svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: "0", preserveAspectRatio: "none"});
    this.legend = html("ul", {class: "legend"});
    this.output = html("output", {"aria-live": "polite"});
    this.table = html("table");
    this.details = html("details", {}, html("summary", {}, `${title}: figures as a table`),
      html("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, table`}, this.table));
    figure.append(html("figcaption", {}, title), this.legend, this.drawing, this.output, this.details);
    this.details.addEventListener("toggle", () => this.fillTable());
    this.drawing.addEventListener("pointermove", event => this.point(event));
    this.drawing.addEventListener("pointerleave", () => this.move(null));
    this.drawing.addEventListener("blur", () => this.move(null));
    this.drawing.addEventListener("keydown", event => this.press(event));
  }

  // `times` are seconds since the epoch, `series` are {name, values} with null for "nothing known".
  draw({times, series, from_s, to_s}) {
    Object.assign(this, {times, series, from_s, to_s});
    const all = known(series.flatMap(one => one.values));
    this.axis = this.scale === "log" ? logarithmic(all) : linear(this.scale === "ratio" ? 1 : Math.max(0, ...all));
    this.drawing.setAttribute("viewBox", `0 0 ${this.width()} ${HEIGHT}`);
    this.drawing.setAttribute("aria-label", this.describe());
    this.drawing.replaceChildren(...this.grid(), ...series.map((one, place) => this.path(one.values, place)));
    this.fillLegend();
    this.fillTable();
    this.show();
  }

  // One unit of the drawing is one pixel, so that no letter is stretched.
  width() { return Math.max(240, this.drawing.clientWidth || WIDTH); }

  x(at_s) { return LEFT + (this.width() - LEFT - RIGHT) * (at_s - this.from_s) / (this.to_s - this.from_s); }

  y(value) { return TOP + (HEIGHT - TOP - BOTTOM) * (1 - this.axis.at(value)); }

  describe() {
    const parts = this.series.map(({name, values}) => {
      const some = known(values);
      if (!some.length) return `${name}: nothing yet`;
      const [last, low, high] = [some.at(-1), Math.min(...some), Math.max(...some)].map(this.format);
      return `${name}: last ${last}, lowest ${low}, highest ${high}`;
    });
    return `${this.title}. ${parts.join("; ")}. Arrow keys read single points.`;
  }

  *grid() {
    for (const tick of this.axis.ticks) {
      const y = this.y(tick);
      yield svg("line", {class: "grid", x1: LEFT, x2: this.width() - RIGHT, y1: y, y2: y});
      const label = svg("text", {x: LEFT - 6, y: y + 4, "text-anchor": "end"});
      label.textContent = this.format(tick);
      yield label;
    }
    for (const [share, anchor] of [[0, "start"], [.5, "middle"], [1, "end"]]) {
      const at_s = this.from_s + share * (this.to_s - this.from_s);
      const label = svg("text", {x: this.x(at_s), y: HEIGHT - 4, "text-anchor": anchor});
      label.textContent = clock(at_s, false);
      yield label;
    }
  }

  path(values, place) {
    let pen = "M";
    const steps = values.map((value, index) => {
      if (value === null) { pen = "M"; return ""; }
      const step = `${pen}${this.x(this.times[index]).toFixed(1)} ${this.y(value).toFixed(1)}${pen === "M" ? "h0" : ""}`;
      pen = "L";
      return step;
    });
    return svg("path", {class: `series c${place}`, d: steps.join("")});
  }

  fillLegend() {
    this.legend.replaceChildren(...this.series.map(({name, values}, place) => {
      const sample = svg("svg", {viewBox: "0 0 26 8", "aria-hidden": "true"});
      sample.append(svg("path", {class: `series c${place}`, d: "M1 4H25"}));
      const last = known(values).at(-1);
      return html("li", {}, sample, `${name} `, html("b", {}, last === undefined ? "–" : this.format(last)));
    }));
  }

  fillTable() {
    if (!this.details.open || !this.series) return;
    const head = html("tr", {}, ...["time", ...this.series.map(one => one.name)].map(name => html("th", {scope: "col"}, name)));
    const rows = this.times.map((at_s, index) => html("tr", {}, html("th", {scope: "row"}, clock(at_s)),
      ...this.series.map(({values}) => html("td", {}, values[index] === null ? "–" : this.format(values[index])))));
    this.table.replaceChildren(html("caption", {}, `${this.title}, the newest first`), html("thead", {}, head),
      html("tbody", {}, ...rows.reverse().slice(0, TABLE_ROWS)));
  }

  point(event) {
    const box = this.drawing.getBoundingClientRect();
    const at_s = this.from_s + (this.to_s - this.from_s) * (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    const near = this.times.reduce((best, one) => Math.abs(one - at_s) < Math.abs(best - at_s) ? one : best, this.times[0]);
    this.move(near ?? null);
  }

  press(event) {
    const step = {ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity}[event.key];
    if (event.key === "Escape") this.move(null);
    if (step === undefined || !this.times.length) return;
    event.preventDefault();
    const place = this.cursor === null ? this.times.length : this.times.indexOf(this.cursor);
    this.move(this.times[Math.max(0, Math.min(this.times.length - 1, place + step))]);
  }

  move(at_s) {
    this.cursor = at_s;
    this.show();
  }

  show() {
    this.drawing.querySelector(".cursor")?.remove();
    const index = this.cursor === null ? -1 : this.times.indexOf(this.cursor);
    if (index < 0) { this.output.textContent = ""; return; }
    const x = this.x(this.cursor);
    this.drawing.append(svg("line", {class: "cursor", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM}));
    const parts = this.series.map(({name, values}) => `${name} ${values[index] === null ? "–" : this.format(values[index])}`);
    this.output.textContent = `${clock(this.cursor)}: ${parts.join(", ")}`;
  }
}
