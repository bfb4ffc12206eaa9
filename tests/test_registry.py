import sys
import threading

import pytest

from selfvos.errors import UnknownName
from selfvos.registry import Registry, nearest


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Make a package of two modules that register one thing each."""
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("from selfvos.registry import Registry\nTHINGS = Registry('tool', 'shop')\n")
    for name in ("saw", "hammer"):
        (package / f"{name}.py").write_text(f"from shop import THINGS\nTHINGS.register('{name}')('{name} itself')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]


def _things():
    import shop

    return shop.THINGS


@pytest.mark.usefixtures("shop")
def test_names_are_sorted_and_come_from_the_modules_of_the_package():
    assert _things().names() == ["hammer", "saw"]


@pytest.mark.usefixtures("shop")
def test_get_returns_the_thing_itself():
    assert _things().get("saw") == "saw itself"


@pytest.mark.usefixtures("shop")
def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UnknownName, match=r"^unknown tool 'hamer'; did you mean 'hammer'\?$") as caught:
        _things().get("hamer")
    assert caught.value.exit_status == 2


@pytest.mark.usefixtures("shop")
def test_an_unknown_name_like_no_other_is_refused_with_the_list():
    with pytest.raises(UnknownName, match=r"^unknown tool 'zzz'; known: hammer, saw$"):
        _things().get("zzz")


def test_two_things_of_one_name_are_refused_and_the_first_stays():
    registry: Registry[int] = Registry("number", "json")
    registry.register("one")(1)
    with pytest.raises(ValueError, match="two numbers are called 'one'"):
        registry.register("one")(11)
    assert registry.get("one") == 1


def test_register_gives_back_what_it_filed():
    registry: Registry[type] = Registry("class", "json")
    assert registry.register("int")(int) is int


def test_a_module_that_cannot_be_imported_says_so_every_time(shop):
    (shop / "broken.py").write_text("import no_such_module_anywhere\n")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
            _things().get("saw")


def test_a_second_thread_waits_for_the_complete_list(shop):
    (shop / "axe.py").write_text("import time\ntime.sleep(0.3)\nfrom shop import THINGS\nTHINGS.register('axe')(1)\n")
    things, seen = _things(), []
    threads = [threading.Thread(target=lambda: seen.append(things.names())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [["axe", "hammer", "saw"]] * 3


def test_nearest_of_nothing_still_reads():
    assert nearest("a", []) == "; known: none"


@pytest.mark.usefixtures("shop")
def test_a_package_that_cannot_be_listed_just_now_is_not_taken_for_an_empty_one(monkeypatch):
    things = _things()
    with monkeypatch.context() as patch:
        patch.setattr("pkgutil.iter_modules", lambda *_, **__: iter(()))
        with pytest.raises(ImportError, match="modules of shop cannot be listed"):
            things.names()
    assert things.names() == ["hammer", "saw"]
