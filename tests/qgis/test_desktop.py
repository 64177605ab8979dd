"""Menu, toolbar, message bar and filled-in dialogs: QGIS's own widgets, off the screen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from osgeo import gdal
from qgis.core import QgsApplication, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.gui import QgsMessageBar
from qgis.PyQt.QtWidgets import QMainWindow, QMenu, QPushButton, QToolBar

from deepseg_qgis import classFactory
from deepseg_qgis.gui.filled_dialog import filled_dialog

ROOT = Path(__file__).resolve().parents[2]


class Interface:
    """As much of QGIS's interface as a plugin asks for, on a real main window."""

    def __init__(self) -> None:
        self.window = QMainWindow()
        self.bar = QgsMessageBar(self.window)
        self.help = self.window.menuBar().addMenu("Help")

    def mainWindow(self) -> QMainWindow:  # noqa: N802 - QGIS's names
        return self.window

    def messageBar(self) -> QgsMessageBar:  # noqa: N802
        return self.bar

    def firstRightStandardMenu(self) -> QMenu:  # noqa: N802
        return self.help

    def addToolBar(self, title: str) -> QToolBar:  # noqa: N802
        return self.window.addToolBar(title)


@pytest.fixture
def interface(application: Any) -> Iterator[Interface]:
    """A window with the plugin in it; the provider stays as it was before."""
    made = Interface()
    yield made
    made.window.deleteLater()
    QgsApplication.processEvents()


@pytest.fixture
def plugin(application: Any, interface: Interface) -> Iterator[Any]:
    """The plugin, as the desktop starts it."""
    registry = QgsApplication.processingRegistry()
    registry.removeProvider("deepseg")
    plugin = classFactory(interface)
    plugin.initGui()
    yield plugin
    plugin.unload()
    application.plugin = classFactory(None)  # QGIS keeps its plugins alive, too
    application.plugin.initGui()


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user has no engine."""
    monkeypatch.delenv("DEEPSEG_ENGINE_PYTHON")
    monkeypatch.setenv("DEEPSEG_ENGINE_HOME", str(tmp_path))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The dialogs that were opened, none of which is shown."""
    import processing

    names: list[str] = []
    monkeypatch.setattr(processing, "execAlgorithmDialog", lambda name, _: names.append(name))
    return names


def menus(interface: Interface) -> list[QMenu]:
    found = [action.menu() for action in interface.window.menuBar().actions()]
    return [menu for menu in found if menu.title() == "DeepSeg"]


def test_the_menu_has_every_algorithm_in_the_order_of_the_work(
    plugin: Any, interface: Interface, opened: list[str]
) -> None:
    (menu,) = menus(interface)
    sections = [each.text() for each in menu.actions() if each.isSeparator()]
    assert sections == ["1 Prepare", "2 Train", "3 Evaluate", "4 Predict", "5 Analyse", "6 Models"]
    entries = [each for each in menu.actions() if not each.isSeparator()]
    provider = QgsApplication.processingRegistry().providerById("deepseg")
    assert len(entries) == len(provider.algorithms())
    for entry in entries:
        entry.trigger()
    assert sorted(opened) == sorted(each.id() for each in provider.algorithms())
    assert menu.menuAction() != interface.window.menuBar().actions()[-1], "Help stays the last"


def test_the_toolbar_has_the_steps_with_their_pictures(
    plugin: Any, interface: Interface, opened: list[str]
) -> None:
    (toolbar,) = interface.window.findChildren(QToolBar)
    assert toolbar.objectName() == "DeepSegToolBar"
    for action in toolbar.actions():
        assert not action.icon().isNull(), action.text()
        assert action.toolTip().startswith(action.text().rstrip("…"))
        action.trigger()
    steps = ("createannotations", "train", "evaluate", "predict", "statistics")
    assert opened == [f"deepseg:{step}" for step in steps]


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_there_is_one_message_with_one_button(
    plugin: Any, interface: Interface, opened: list[str]
) -> None:
    (message,) = interface.bar.items()
    assert len(message.findChildren(QPushButton)) == 1
    for action in menus(interface)[0].actions():
        action.trigger()
    assert len(interface.bar.items()) == 1
    assert sorted(opened) == ["deepseg:createannotations", "deepseg:setupengine"]
    interface.bar.items()[0].findChild(QPushButton).click()
    assert opened[-1] == "deepseg:setupengine"
    assert len(interface.bar.items()) == 1, "nothing was set up"


@pytest.mark.usefixtures("no_engine")
def test_the_message_goes_once_there_is_an_engine(
    plugin: Any, interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    import processing

    def set_up(name: str, _: dict[str, Any]) -> None:
        assert interface.bar.items() == [], "it would ask for what is being done"
        monkeypatch.setenv("DEEPSEG_ENGINE_PYTHON", sys.executable)

    monkeypatch.setattr(processing, "execAlgorithmDialog", set_up)
    interface.bar.items()[0].findChild(QPushButton).click()
    assert interface.bar.items() == []


@pytest.mark.usefixtures("no_engine")
def test_a_message_that_was_closed_comes_again_when_it_is_needed(
    plugin: Any, interface: Interface, opened: list[str]
) -> None:
    interface.bar.popWidget()
    QgsApplication.sendPostedEvents()
    (toolbar,) = interface.window.findChildren(QToolBar)
    toolbar.actions()[1].trigger()
    assert len(interface.bar.items()) == 1
    assert opened == []


def test_with_an_engine_there_is_no_message(plugin: Any, interface: Interface) -> None:
    assert interface.bar.items() == []


@pytest.mark.usefixtures("no_engine")
def test_all_of_it_goes_with_the_plugin(plugin: Any, interface: Interface) -> None:
    plugin.unload()
    QgsApplication.sendPostedEvents(None, 52)  # QEvent.DeferredDelete
    assert menus(interface) == []
    assert interface.window.findChildren(QToolBar) == []
    assert interface.bar.items() == []
    assert interface.window.findChildren(QMenu, "DeepSegMenu") == []


def test_a_script_loads_nothing_of_the_desktop(tmp_path: Path) -> None:
    program = (
        "import sys; from qgis.core import QgsApplication; "
        "application = QgsApplication([], False); application.initQgis(); "
        f"sys.path.insert(0, {str(ROOT / 'build' / 'plugins')!r}); "
        "import deepseg_qgis; plugin = deepseg_qgis.classFactory(None); plugin.initProcessing(); "
        "print([name for name in sys.modules if 'gui' in name]); plugin.unload()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "deepseg_qgis.gui" not in done.stdout


@pytest.fixture
def load(project: QgsProject, tmp_path: Path) -> Callable[..., Any]:
    """Load a layer: with bands it is a raster, else polygons with these fields."""

    def add(name: str, bands: int = 0, fields: str = "", shown: bool = True) -> Any:
        if bands:
            path = str(tmp_path / f"{name}.tif")
            dataset = gdal.GetDriverByName("GTiff").Create(path, 8, 8, bands)
            dataset.SetGeoTransform((3e5, 1, 0, 3e6, 0, -1))
            dataset.FlushCache()
            layer = QgsRasterLayer(path, name)
        else:
            layer = QgsVectorLayer(f"Polygon?crs=EPSG:32645{fields}", name, "memory")
        project.addMapLayer(layer)
        project.layerTreeRoot().findLayer(layer.id()).setItemVisibilityChecked(shown)
        return layer

    return add


def test_the_desktop_brings_its_dialogs(plugin: Any) -> None:
    shown = algorithm("train").createCustomParametersWidget(None)
    assert shown.windowTitle() == dialog("train").windowTitle()


def test_without_a_desktop_dialogs_are_those_of_qgis(application: Any) -> None:
    assert algorithm("predict").createCustomParametersWidget(None) is None


def algorithm(name: str) -> Any:
    return QgsApplication.processingRegistry().createAlgorithmById(f"deepseg:{name}")


def dialog(name: str) -> Any:
    """Return the dialog that the toolbox opens in the desktop."""
    return filled_dialog(algorithm(name), None)


def chosen(name: str, parameter: str) -> Any:
    shown = dialog(name)
    return shown.mainWidget().wrappers[parameter].parameterValue()


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "importannotations"])
def test_the_rasters_that_are_loaded_are_chosen(load: Callable[..., Any], name: str) -> None:
    west, east = load("west", 4), load("east", 4)
    for single in ("heights", "slope", "classes"):
        load(single, 1)
    load("last year", 4, shown=False)
    assert set(chosen(name, "INPUT")) == {west.source(), east.source()}


def test_single_bands_are_chosen_where_there_is_no_picture(load: Callable[..., Any]) -> None:
    radar = load("radar", 1)
    assert chosen("predict", "INPUT") == [radar.source()]


def test_without_rasters_none_is_chosen(project: QgsProject) -> None:
    assert not chosen("train", "INPUT")


def test_rasters_are_chosen_though_none_is_shown(load: Callable[..., Any]) -> None:
    scene = load("scene", 3, shown=False)
    assert chosen("predict", "INPUT") == [scene.source()]


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_the_layer_with_categories_and_its_field_are_chosen(
    load: Callable[..., Any], name: str
) -> None:
    load("area")
    houses = load("houses", fields="&field=id:integer&field=Category:string")
    load("border", fields="&field=height:double")
    shown = dialog(name)
    wrappers = shown.mainWidget().wrappers
    assert wrappers["ANNOTATIONS"].parameterValue() == houses.id()
    assert wrappers["CATEGORY_FIELD"].parameterValue() == "Category"
    assert not wrappers["AOI"].parameterValue()


def test_the_field_follows_the_layer(load: Callable[..., Any], project: QgsProject) -> None:
    load("houses", fields="&field=id:integer&field=category:string")
    plain = load("plain", fields="&field=id:integer")
    trees = load("trees", fields="&field=id:integer&field=class:string")
    shown = dialog("train")
    wrappers = shown.mainWidget().wrappers
    for layer, field in ((trees, "class"), (plain, None), (trees, "class")):
        wrappers["ANNOTATIONS"].setParameterValue(layer.id(), shown.mainWidget().processing_context)
        assert (wrappers["CATEGORY_FIELD"].parameterValue() or None) == field


def test_what_was_chosen_before_is_kept(load: Callable[..., Any]) -> None:
    """The history opens a dialog with the values of a run."""
    scene = load("scene", 3)
    load("other", 3)
    houses = load("houses", fields="&field=kind:string&field=category:string")
    shown = dialog("train")
    before = {"INPUT": [scene.source()], "ANNOTATIONS": houses.id(), "CATEGORY_FIELD": "kind"}
    shown.setParameters(before)
    values = shown.createProcessingParameters()
    assert {name: values[name] for name in before} == before
