"""How ctk and qMRML controls are drawn here: enough to see a panel in a picture, not what they look like in Slicer."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

HEADER = 24
_LEFT, _RIGHT = QtCore.Qt.AlignLeft | QtCore.Qt.AlignVCenter, QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter


def looks(style, margin=0):
    """What makes a class draw itself by ``style``, and take the room of its layout below a header of ``margin``."""

    def paint(self, event):
        style(self, QtWidgets.QStylePainter(self))

    def hint(self):
        size = QtCore.QSize(120, 26)
        if margin and self.layout() is not None and not self.collapsed:
            self.layout().setContentsMargins(9, margin + 6, 9, 6)
            return self.layout().totalSizeHint()
        return size

    return {"paintEvent": paint, "sizeHint": hint, "minimumSizeHint": hint}


def draw_section(self, painter):
    option = QtWidgets.QStyleOptionButton()
    option.initFrom(self)
    option.rect = QtCore.QRect(0, 0, self.width, HEADER)
    painter.drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option)
    painter.drawText(option.rect.adjusted(8, 0, 0, 0), _LEFT, ("+ " if self.collapsed else "- ") + self.text)


def draw_combo(self, painter):
    option = QtWidgets.QStyleOptionComboBox()
    option.initFrom(self)
    node = self.currentNode()
    option.currentText = node.GetName() if node is not None else self.noneDisplay or "None"
    painter.drawComplexControl(QtWidgets.QStyle.CC_ComboBox, option)
    painter.drawControl(QtWidgets.QStyle.CE_ComboBoxLabel, option)


def draw_slider(self, painter):
    option = QtWidgets.QStyleOptionSlider()
    option.initFrom(self)
    option.rect = option.rect.adjusted(0, 0, -60, 0)
    option.minimum, option.maximum = 0, 1000
    option.sliderPosition = round(1000 * (self.value - self.minimum) / max(self.maximum - self.minimum, 1e-9))
    option.state |= QtWidgets.QStyle.State_Horizontal
    option.orientation = QtCore.Qt.Horizontal
    option.subControls = QtWidgets.QStyle.SC_SliderGroove | QtWidgets.QStyle.SC_SliderHandle
    painter.drawComplexControl(QtWidgets.QStyle.CC_Slider, option)
    painter.drawText(self.rect.adjusted(0, 0, -8, 0), _RIGHT, f"{self.value:.2f}")


def draw_path(self, painter):
    option = QtWidgets.QStyleOptionFrame()
    option.initFrom(self)
    option.lineWidth = 1
    painter.drawPrimitive(QtWidgets.QStyle.PE_PanelLineEdit, option)
    painter.drawText(option.rect.adjusted(6, 0, 0, 0), _LEFT, self.currentPath)
