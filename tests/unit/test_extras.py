"""A server without its extra says what to install; every other missing module is a defect, and shows as one."""

import tomllib

import pytest

from hotspare_rpc.extras import LEFT_OUT, run_with_extra
from tools.protos import ROOT


def missing(name: str) -> None:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize("name", sorted(LEFT_OUT) + [f"{name}.inside" for name in LEFT_OUT])
def test_what_the_extra_brings_is_named_in_one_line(name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run_with_extra("hotspare-cloud", "cloud", lambda: missing(name))
    assert str(ended.value.code).count("\n") == 0
    assert "pip install 'hotspare[cloud]'" in str(ended.value.code)


def test_another_missing_module_is_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError):
        run_with_extra("hotspare-cloud", "cloud", lambda: missing("hotspare_cloud.nowhere"))


def test_the_extras_bring_what_the_plain_install_leaves_out() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def brought(lines: list[str]) -> set[str]:
        return {line.split(">=")[0].replace("-", "_") for line in lines}

    assert not LEFT_OUT & brought(project["dependencies"])
    for extra in ("cloud", "receiver"):
        assert brought(project["optional-dependencies"][extra]) == LEFT_OUT
    assert project["scripts"] == {
        "hotspare": "hotspare_cli.main:main",
        "hotspare-cloud": "hotspare_cloud.entry:main",
        "hotspare-receiver": "hotspare_receiver.entry:main",
        "hotspare-sim": "hotspare_sim.main:main",
    }
