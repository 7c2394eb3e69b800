"""All settings are read at once, and all faults are reported at once."""

import pytest

from service.errors import SettingsError
from service.settings.edge_settings import Settings, misspelt, read_settings, table
from service.settings.quality import TargetScore
from service.settings.refine_for import read_refine_for

ORIGIN = "http://origin.example"
NO_TOKEN_AT_ALL = "the token must be printable ASCII without spaces at its ends"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in table():
        monkeypatch.delenv(row.name, raising=False)


def test_only_the_origin_is_required() -> None:
    settings = read_settings(origin=ORIGIN)
    assert settings.redis_url == ""
    assert settings.device == "auto"


def test_every_fault_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_QUALITY", "64")
    monkeypatch.setenv("EDGE_DEVICE", "tpu")
    monkeypatch.setenv("EDGE_HEAD", "high-cpu")
    monkeypatch.setenv("EDGE_KERNELS", "heads=int4")
    monkeypatch.setenv("EDGE_REFINE", "65536")  # more than a record can tell
    monkeypatch.setenv("EDGE_REFINE_FOR", "high-tpu=1")
    monkeypatch.setenv("EDGE_LOST_HEAD", "gpu")
    monkeypatch.setenv("EDGE_REDIS_URL", "memcached://:secret@host")
    monkeypatch.setenv("EDGE_WEIGHTS", "/no/such/file")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert {fault.partition(":")[0] for fault in caught.value.faults} == {
        "EDGE_ORIGIN",
        "EDGE_QUALITY",
        "EDGE_DEVICE",
        "EDGE_HEAD",
        "EDGE_KERNELS",
        "EDGE_REFINE",
        "EDGE_REFINE_FOR",
        "EDGE_LOST_HEAD",
        "EDGE_REDIS_URL",
        "EDGE_WEIGHTS",
    }
    assert "secret" not in str(caught.value)


def test_a_missing_origin_is_told_by_the_name_of_its_setting() -> None:
    with pytest.raises(SettingsError, match="EDGE_ORIGIN: set it to the URL of the origin"):
        read_settings()


def test_a_misspelt_setting_is_told_and_other_variables_are_not() -> None:
    others = ["EDGE_QUALITY", "EDGE_PORT", "EDGE_SERVICE_HOST", "EDGE_PORT_8080_TCP_ADDR", "PATH", "QUALTY"]
    assert misspelt([*others, "EDGE_QUALTY", "EDGE_REDISURL"]) == [
        "EDGE_QUALTY: there is no such setting; did you mean EDGE_QUALITY?",
        "EDGE_REDISURL: there is no such setting; did you mean EDGE_REDIS_URL?",
    ]


@pytest.mark.parametrize(
    "origin",
    [
        *("", "origin.example", "ftp://origin.example", "http://", "http://o.example/?a=1", "http://o.example/#a"),
        *("http://o.example:99999", "http://o.example:0", "http://o.example:x", "http://[::1", "http://o example"),
    ],
)
def test_an_origin_is_an_http_address(origin: str) -> None:
    with pytest.raises(SettingsError, match="EDGE_ORIGIN"):
        read_settings(origin=origin)


@pytest.mark.parametrize("url", ["http://s.example", "redis://s.example:x", "redis://me:secret/@s.example"])
def test_a_store_address_must_be_usable(url: str) -> None:
    with pytest.raises(SettingsError, match="EDGE_REDIS_URL") as caught:
        read_settings(origin=ORIGIN, redis_url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("0", 0), ("63", 63), ("auto:70", TargetScore(70)), ("auto:0", TargetScore(0)), ("auto:62.5", TargetScore(62.5))],
)
def test_a_quality_is_a_number_or_a_score(monkeypatch: pytest.MonkeyPatch, written: str, meant: object) -> None:
    monkeypatch.setenv("EDGE_QUALITY", written)
    settings = read_settings(origin=ORIGIN)
    assert settings.quality == meant
    assert settings.environment()["EDGE_QUALITY"] == written


@pytest.mark.parametrize("quality", ["-1", "64", "3.5", "good", "auto", "auto:", "auto:x", "auto:nan", "auto:100.1"])
def test_an_invalid_quality_is_reported_with_the_valid_range(quality: str) -> None:
    with pytest.raises(
        SettingsError, match=r"EDGE_QUALITY: the value must be 0 to 63, or auto:<ssimulacra2> with a score"
    ):
        read_settings(origin=ORIGIN, quality=quality)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ORIGIN", ORIGIN + "/")
    monkeypatch.setenv("EDGE_QUALITY", "")
    assert read_settings() == Settings(origin=ORIGIN)


@pytest.mark.parametrize("heads", ["auto", "high-cpu=1", "high-gpu=0.55,high-cpu=0.45,medium=0.2"])
def test_a_search_is_for_the_head_in_use_or_for_heads_by_weight(heads: str) -> None:
    settings = read_settings(origin=ORIGIN, refine_for=heads)
    assert settings.environment()["EDGE_REFINE_FOR"] == heads
    readers = read_refine_for(heads)
    assert (readers is None) == (heads == "auto")
    if readers is not None:
        assert [f"{name}={weight:g}" for name, weight in readers.weights] == heads.split(",")


@pytest.mark.parametrize("quality", [None, 7, TargetScore(71.25)])
def test_workers_read_the_settings_that_the_parent_had(monkeypatch: pytest.MonkeyPatch, quality: object) -> None:
    settings = read_settings(origin=ORIGIN, quality=quality, store_timeout_s=0.25, redis_url="unix:///s.sock")
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert read_settings() == settings


@pytest.mark.parametrize("name", ["admin_token", "latent_token", "parent_token"])
def test_a_token_is_shown_nowhere_and_reaches_the_workers(name: str) -> None:
    settings = read_settings(origin=ORIGIN, **{name: "s3cret"})
    assert "s3cret" not in f"{settings} {settings!r} {settings.model_dump_json()}"
    assert settings.environment()[f"EDGE_{name.upper()}"] == "s3cret"
    with pytest.raises(SettingsError) as caught:
        read_settings(origin=ORIGIN, **{name: "s3cret\n"})
    assert str(caught.value).splitlines()[1:] == [f"  EDGE_{name.upper()}: {NO_TOKEN_AT_ALL}"]


def test_a_parent_needs_a_token() -> None:
    with pytest.raises(SettingsError, match="EDGE_PARENT needs EDGE_PARENT_TOKEN"):
        read_settings(origin=ORIGIN, parent="http://parent.example")


def test_every_setting_explains_itself() -> None:
    for row in table():
        assert row.name.startswith("EDGE_")
        assert row.unit
        assert row.help.endswith(".")
