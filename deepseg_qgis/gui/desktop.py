"""DeepSeg's menu, toolbar and message bar in QGIS's window."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qgis.core import Qgis, QgsApplication
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QMenu, QPushButton, QToolBar

from deepseg_qgis.errors import EngineMissing
from deepseg_qgis.processing.algorithms.algorithm import GROUPS, DeepSegAlgorithm
from deepseg_qgis.processing.engine.discovery import NO_ENGINE, find_engine
from deepseg_qgis.processing.provider import ALGORITHMS, PROVIDER_ID, TITLE
from deepseg_qgis.processing.translation import tr

if TYPE_CHECKING:
    from qgis.gui import QgisInterface, QgsMessageBarItem
    from qgis.PyQt.QtWidgets import QAction

STEPS = ("createannotations", "train", "evaluate", "predict", "statistics")
"""The way from a picture to numbers: the toolbar's buttons."""

SET_UP = "setupengine"
ICONS = os.path.join(os.path.dirname(__file__), "icons")


class Desktop:
    """What DeepSeg adds to the window of ``iface``, until `stop`."""

    def __init__(self, iface: QgisInterface) -> None:
        self._iface = iface
        self._actions: dict[str, QAction] = {}
        self._menu: QMenu | None = None
        self._toolbar: QToolBar | None = None
        self._message: QgsMessageBarItem | None = None

    def start(self) -> None:
        """Add menu and toolbar, and say so where there is no engine."""
        self._menu = self._made_menu()
        before = self._iface.firstRightStandardMenu().menuAction()
        self._iface.mainWindow().menuBar().insertMenu(before, self._menu)
        self._toolbar = self._iface.addToolBar(TITLE)
        self._toolbar.setObjectName("DeepSegToolBar")  # by which QGIS remembers its place
        self._toolbar.addActions([self._actions[step] for step in STEPS])
        self.has_engine()

    def stop(self) -> None:
        """Leave the window as it was."""
        self._dismiss()
        for part in (self._menu, self._toolbar):
            if part is not None:
                part.deleteLater()
        self._menu = self._toolbar = None

    def has_engine(self) -> bool:
        """Return whether there is an engine; where there is none, offer to set one up."""
        try:
            find_engine()
        except EngineMissing as error:
            self._offer_set_up(str(error))
            return False
        self._dismiss()
        return True

    def open(self, name: str) -> None:
        """Open the dialog of an algorithm, unless it needs an engine and there is none."""
        import processing

        algorithm = f"{PROVIDER_ID}:{name}"
        can, _ = QgsApplication.processingRegistry().algorithmById(algorithm).canExecute()
        if can or self.has_engine():
            processing.execAlgorithmDialog(algorithm, {})

    def set_up(self) -> None:
        """Open the dialog that sets up the engine, and see whether there is one then."""
        self._dismiss()
        self.open(SET_UP)
        if self._menu is not None:  # the plugin may have been switched off meanwhile
            self.has_engine()

    def _made_menu(self) -> QMenu:
        menu = QMenu(TITLE, self._iface.mainWindow())
        menu.setObjectName("DeepSegMenu")
        for group in GROUPS:
            algorithms = [each() for each in ALGORITHMS if group == each.GROUP]
            menu.addSection(algorithms[0].group())
            for algorithm in algorithms:
                self._actions[algorithm.name()] = self._action(menu, algorithm)
        return menu

    def _action(self, menu: QMenu, algorithm: DeepSegAlgorithm) -> QAction:
        """Return a new entry of the menu, which opens the dialog of an algorithm."""
        name = algorithm.name()
        triggered = self.set_up if name == SET_UP else lambda: self.open(name)
        action = menu.addAction(f"{algorithm.displayName()}…", lambda *_: triggered())
        action.setToolTip(f"{algorithm.displayName()}: {algorithm.shortDescription()}")
        path = os.path.join(ICONS, f"{name}.svg")
        if os.path.exists(path):
            action.setIcon(QIcon(path))
        return action

    def _offer_set_up(self, problem: str) -> None:
        """Show one message with one button, unless it is there already."""
        if self._is_shown():
            return
        text = problem
        if problem == NO_ENGINE:
            text = tr("Install the engine once, to train and to predict.")
        button = QPushButton(tr("Set up the engine…"))
        button.clicked.connect(lambda *_: self.set_up())
        self._message = self._iface.messageBar().createMessage(TITLE, text)
        self._message.layout().addWidget(button)
        self._iface.messageBar().pushWidget(self._message, Qgis.MessageLevel.Info, 0)

    def _dismiss(self) -> None:
        if self._message is not None and self._is_shown():
            self._iface.messageBar().popWidget(self._message)

    def _is_shown(self) -> bool:
        """Return whether the message is there: the user may have closed it."""
        return self._message is not None and self._message in self._iface.messageBar().items()
