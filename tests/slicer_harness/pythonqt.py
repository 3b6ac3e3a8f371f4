"""Give PySide6 classes PythonQt's attribute rules (see PythonQtClassInfo / PythonQtInstanceWrapper):

* a Qt property is a plain attribute and hides a getter method of the same name;
* ``name`` means ``objectName``;
* writing an attribute that is neither a property nor a dynamic property of a C++ object is an error;
* ``obj.connect("signal(type)", callable)`` and ``obj.disconnect(...)`` take signatures as strings;
* a child object can be read as an attribute by its object name.
"""

from __future__ import annotations

import inspect
import sys
import types

from PySide6 import QtCore, QtGui, QtWidgets

SKIP = {"sizeHint", "minimumSizeHint"}  # virtual getters: C++ would call the Python property back
SKIP_OF_CLASS = {("QProgressBar", "text")}
SIGNAL = QtCore.SIGNAL
errors: list = []  # exceptions raised inside slots (Qt swallows them)
_native: set = set()  # Python classes of the shim that play the part of C++ classes


class QtProp:
    """Data descriptor for one Qt property (PythonQt: Property member)."""

    def __init__(self, meta, owner):
        self.meta, self.name, self.owner = meta, meta.name(), owner

    def __get__(self, obj, cls=None):
        if obj is None:
            return self
        return self.meta.read(obj)

    def __set__(self, obj, value):
        m = self.meta
        if not m.isWritable():
            raise AttributeError(f"Property '{self.name}' of {type(obj).__name__} object is not writable")
        if isinstance(value, float) and m.typeName() in ("int", "uint"):
            value = int(value)
        if m.typeName() == "bool":
            value = bool(value)
        ok = False
        try:
            ok = m.write(obj, value)
        except Exception:
            ok = False
        if not ok:
            raise AttributeError(
                f"Property '{self.name}' of type '{m.typeName()}' does not accept an object"
                f" of type {type(value).__name__} ({value!r})"
            )


def native(cls):
    _native.add(cls)
    return cls


def isNative(cls):
    return cls in _native or cls.__module__.startswith("PySide6")


def _setattr(self, attr, value):
    if attr == "name":
        attr = "objectName"
    if isinstance(value, QtCore.QObject) and value.objectName == attr and isNative(type(self)):
        return  # PySide's QUiLoader names each child on the top widget; _getattr finds children itself
    if isinstance(value, QtCore.SignalInstance):  # PySide keeps a bound signal on the object
        self.__dict__[attr] = value
        return
    cls = type(self)
    static = inspect.getattr_static(cls, attr, None)
    if isinstance(static, QtCore.Property):
        put = accessors(cls, attr)[1]
        if put is None:
            raise AttributeError(f"Property '{attr}' of {cls.__name__} object is not writable")
        put(self, value)
        return
    if isinstance(static, (QtProp, property)):
        static.__set__(self, value)
        return
    if isNative(cls) and not attr.startswith("_shim"):
        if static is not None:
            raise AttributeError(f"Slot or enum '{attr}' can not be overwritten on {cls.__name__} object")
        if attr.encode() in [bytes(n) for n in self.dynamicPropertyNames()]:
            self.setProperty(attr, value)
            return
        raise AttributeError(
            f"'{attr}' does not exist on {cls.__name__} and creating new attributes on C++ objects is not allowed"
        )
    self.__dict__[attr] = value


def _getattr(self, attr):  # only reached when ordinary lookup failed
    if attr == "name":
        return self.objectName
    if attr.startswith("__"):
        raise AttributeError(attr)
    if attr.encode() in [bytes(n) for n in self.dynamicPropertyNames()]:
        return self.property(attr)
    for child in self.children():
        if child.objectName == attr:
            return child
    raise AttributeError(f"{type(self).__name__} has no attribute named '{attr}'")


def _argcount(f):
    """Number of positional arguments PythonQt would pass, or None for all (PythonQtSignalTarget::call)."""
    func = f.__func__ if inspect.ismethod(f) else f
    if not isinstance(func, types.FunctionType):
        return None
    code = func.__code__
    if code.co_flags & inspect.CO_VARARGS:
        return None
    return code.co_argcount - (1 if inspect.ismethod(f) else 0)


def _wrap(f):
    n = _argcount(f)

    def slot(*args):
        try:
            return f(*(args if n is None else args[:n]))
        except Exception as exc:
            errors.append(exc)
            sys.excepthook(*sys.exc_info())

    return slot


_slots: dict = {}
_qconnect = QtCore.QObject.connect
_qdisconnect = QtCore.QObject.disconnect


def _norm(sig):
    return bytes(QtCore.QMetaObject.normalizedSignature(sig)).decode()


def signalOf(obj, sig):
    """The bound PySide signal for a C++ signature, or ValueError (PythonQt only prints a warning)."""
    norm = _norm(sig)
    if obj.metaObject().indexOfSignal(norm) >= 0:
        return norm, getattr(obj, norm.split("(")[0])
    for cls in type(obj).__mro__:  # shim classes: signatures known from the C++ headers
        if norm in cls.__dict__.get("_shimSignals", {}):
            return norm, getattr(obj, norm.split("(")[0])
    raise ValueError(f"QObject::connect() signal '{sig}' does not exist on {type(obj).__name__}")


def connect(self, sig, *target):
    if isinstance(sig, QtCore.QObject):  # PySide's own glue, QTimer.singleShot: connect(sender, signal, receiver, slot)
        return connect(sig, *target)
    if len(target) == 2:  # receiver object, slot signature
        target = (target[1] if callable(target[1]) else getattr(target[0], target[1].split("(")[0]),)
    sig = sig.lstrip("0123456789")
    norm, bound = signalOf(self, sig)
    slot = _wrap(target[0])
    _slots.setdefault((id(self), norm), []).append((target[0], slot, bound))
    if self.metaObject().indexOfSignal(norm) >= 0:
        return _qconnect(self, SIGNAL(norm), slot)
    bound.connect(slot)
    return True


def disconnect(self, sig, target=None):
    norm = signalOf(self, sig)[0]
    keep, done = [], False
    for f, slot, b in _slots.get((id(self), norm), []):
        if target is None or f == target:
            if self.metaObject().indexOfSignal(norm) >= 0:
                _qdisconnect(self, SIGNAL(norm), slot)
            else:
                b.disconnect(slot)
            done = True
        else:
            keep.append((f, slot, b))
    _slots[(id(self), norm)] = keep
    return done


def _getattributeFor(cls):
    original = cls.__getattribute__  # Shiboken's own: it binds methods that are both static and not (QFile.exists)

    def getattribute(self, attr):
        if attr in ("connect", "disconnect"):
            return types.MethodType(connect if attr == "connect" else disconnect, self)
        value = original(self, attr)
        return accessors(type(self), attr)[0](self) if isinstance(value, QtCore.Property) else value

    return getattribute


def accessors(cls, attr):
    """Getter and setter of a property that a shim class declared (PySide's Property is no descriptor)."""
    for c in cls.__mro__:
        if attr in c.__dict__.get("_shimProps", {}):
            return c.__dict__["_shimProps"][attr]
    raise AttributeError(attr)


def _patchClass(cls):
    cls.__setattr__, cls.__getattr__ = _setattr, _getattr
    cls.__getattribute__ = _getattributeFor(cls)
    meta = getattr(cls, "staticMetaObject", None)
    if meta is None or meta.className() != cls.__name__:
        return 0
    n = 0
    for i in range(meta.propertyOffset(), meta.propertyCount()):
        p = meta.property(i)
        if (
            p.name() in SKIP
            or (cls.__name__, p.name()) in SKIP_OF_CLASS
            or (p.name() == "singleShot" and cls.__name__ == "QTimer")
        ):
            continue
        try:
            setattr(cls, p.name(), QtProp(p, cls))
            n += 1
        except TypeError:
            pass
    return n


def install():
    from PySide6 import QtNetwork, QtUiTools

    qt = types.ModuleType("qt")
    count = 0
    for mod in (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools):
        for n in dir(mod):
            if n.startswith("_"):
                continue
            v = getattr(mod, n)
            setattr(qt, n, v)
            if isinstance(v, type) and issubclass(v, QtCore.QObject):
                count += _patchClass(v)
    qt.Signal, qt.Slot, qt.Property = QtCore.Signal, QtCore.Slot, QtCore.Property
    QtCore.QObject.className = lambda self: self.metaObject().className()
    QtCore.QObject.delete = lambda self: self.deleteLater()
    sys.modules["qt"] = sys.modules["PythonQt"] = qt
    for part in ("QtCore", "QtGui", "QtNetwork"):
        setattr(qt, part, qt)
        sys.modules["PythonQt." + part] = qt
    return qt, count
