"use strict";
const { Niivue, NVImage, SLICE_TYPE, DRAG_MODE, SHOW_RENDER, MULTIPLANAR_TYPE } = globalThis.niivue;
const told = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const canvas = $("canvas");
const ZERO_TO_MAX_TRANSPARENT_BELOW_MIN = 1;
const OBLIQUE = true; // by the scan's whole affine: NiiVue's own choice, for slices along voxel axes, leaves rotations out
const NS = "http://www.w3.org/2000/svg";

function file(key) {
  const text = atob($("volume-" + key).textContent);
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  return new File([bytes], "volume.nii.gz", { type: "application/octet-stream" });
}

async function load(one, colormap) {
  const volume = await NVImage.loadFromFile({ file: file(one.key), name: one.key + ".nii.gz", colormap, opacity: 1 });
  volume.colorbarVisible = false;
  return volume;
}

function ramp(colours) {
  const part = (i) => colours.map((colour) => colour[i]);
  return {
    R: part(0), G: part(1), B: part(2),
    A: colours.map((_, i) => (i === 0 ? 0 : 255)),
    I: colours.map((_, i) => Math.round((255 * i) / (colours.length - 1))),
  };
}

function lut(levels) {
  const all = [{ label: 0, name: "", colour: [0, 0, 0] }];
  const last = Math.max(...levels.map((level) => level.label));
  for (let label = 1; label <= last; label++) {
    all.push(levels.find((level) => level.label === label) || { label, name: "", colour: [0, 0, 0], none: true });
  }
  return {
    R: all.map((l) => l.colour[0]), G: all.map((l) => l.colour[1]), B: all.map((l) => l.colour[2]),
    A: all.map((l) => (l.label === 0 || l.none ? 0 : 255)), I: all.map((l) => l.label), labels: all.map((l) => l.name),
  };
}

const number = (x, digits) => x.toFixed(digits).replace("-", "−");
const short = (x) => (Math.abs(x) >= 0.1 || x === 0 ? number(x, 2) : x.toPrecision(2).replace("-", "−"));

function make(name, attributes, text) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function word(text, kind) {
  const element = document.createElement("span");
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

class View {
  constructor(nv, scan, regions) {
    this.nv = nv;
    this.scan = scan;
    this.regions = regions;
    this.volumes = new Map();
    this.shown = null;
    this.rows = [...document.querySelectorAll("#regions .goto")];
  }

  async map(key) {
    if (this.shown) this.nv.removeVolume(this.shown.volume);
    this.shown = null;
    const one = told.overlays.find((overlay) => overlay.key === key);
    if (one) {
      if (!this.volumes.has(key)) {
        const volume = await load(one, one.kind === "spread" ? "camlime-spread" : "camlime-for");
        if (one.kind === "labels") volume.setColormapLabel(lut(one.levels));
        if (one.kind === "signed") volume.colormapNegative = "camlime-against";
        if (one.kind !== "labels") volume.colormapType = ZERO_TO_MAX_TRANSPARENT_BELOW_MIN;
        this.volumes.set(key, volume);
      }
      this.shown = { one, volume: this.volumes.get(key) };
      this.nv.addVolume(this.shown.volume);
    }
    $("map-help").textContent = one ? one.help : "";
    $("threshold").disabled = !one || one.kind === "labels";
    $("opacity").disabled = !one;
    this.paint();
    this.legend();
  }

  paint() {
    const share = Number($("threshold").value) / 100;
    const opacity = Number($("opacity").value) / 100;
    $("threshold-value").textContent = $("threshold").value + " %";
    $("opacity-value").textContent = $("opacity").value + " %";
    if (this.shown) {
      const { one, volume } = this.shown;
      if (one.kind !== "labels") {
        volume.cal_min = Math.max(share * one.high, 1e-6 * one.high);
        volume.cal_max = one.high;
        if (one.kind === "signed") {
          volume.cal_minNeg = -one.high;
          volume.cal_maxNeg = -volume.cal_min;
        }
      }
      volume.opacity = opacity;
    }
    this.nv.updateGLVolume();
    this.where();
  }

  window() {
    if (told.scan.kind === "colour") return;
    const span = told.scan.high - told.scan.low;
    const width = span * Math.pow(2, -Number($("width").value) / 25);
    const middle = (told.scan.low + told.scan.high) / 2 - (Number($("level").value) / 100) * span;
    this.scan.cal_min = middle - width / 2;
    this.scan.cal_max = middle + width / 2;
    this.nv.updateGLVolume();
  }

  arrange(view) {
    const nv = this.nv;
    const flat = { axial: SLICE_TYPE.AXIAL, coronal: SLICE_TYPE.CORONAL, sagittal: SLICE_TYPE.SAGITTAL };
    nv.opts.multiplanarShowRender = view === "both" ? SHOW_RENDER.ALWAYS : SHOW_RENDER.NEVER;
    nv.setMultiplanarLayout(view === "both" ? MULTIPLANAR_TYPE.GRID : MULTIPLANAR_TYPE.AUTO);
    if (view === "both" || view === "solid") nv.setClipPlane([0, 270, 0]);
    nv.setSliceType(view === "solid" ? SLICE_TYPE.RENDER : view in flat ? flat[view] : SLICE_TYPE.MULTIPLANAR);
    this.where();
  }

  go(point) {
    this.nv.scene.crosshairPos = this.nv.mm2frac(point, 0, OBLIQUE);
    this.nv.createOnLocationChange();
    this.nv.drawScene();
    this.where();
  }

  at() {
    const mm = this.nv.frac2mm(this.nv.scene.crosshairPos, 0, OBLIQUE);
    return [mm[0], mm[1], mm[2]];
  }

  value(volume, point) {
    const voxel = volume.mm2vox(point);
    const dims = volume.dimsRAS;
    const inside = [0, 1, 2].every((i) => voxel[i] >= 0 && voxel[i] < dims[i + 1]);
    return inside ? volume.getValue(voxel[0], voxel[1], voxel[2], 0) : null;
  }

  where() {
    const point = this.at();
    $("at").textContent = told.inPatient
      ? point.map((x, i) => "RAS"[i] + " " + number(x, 1)).join(", ") + " mm"
      : "x " + number(Math.max(-point[0], 0), 0) + ", y " + number(Math.max(-point[1], 0), 0);
    $("value").textContent = this.said(point);
    const region = this.value(this.regions, point);
    const row = region ? this.rows.find((button) => Number(button.dataset.id) === region) : null;
    for (const button of this.rows) button.closest("tr").classList.toggle("here", button === row);
    $("region").textContent = region ? (row ? row.textContent : told.place + " " + region) : "outside what the network saw";
  }

  said(point) {
    if (!this.shown) return "–";
    const { one, volume } = this.shown;
    const value = this.value(volume, point);
    if (value === null) return "outside";
    if (one.kind === "labels") {
      const level = one.levels.find((each) => each.label === Math.round(value));
      return level ? level.name : "none";
    }
    return (one.kind === "signed" && value > 0 ? "+" : "") + short(value) + " " + one.unit;
  }

  legend() {
    const box = $("legend");
    box.replaceChildren();
    if (!this.shown) return;
    const { one } = this.shown;
    if (one.kind === "labels") {
      for (const level of one.levels) {
        const entry = word("", "level");
        const patch = make("svg", { viewBox: "0 0 1 1" });
        patch.append(make("rect", { width: 1, height: 1, fill: `rgb(${level.colour.join(",")})` }));
        entry.append(patch, word(level.name));
        entry.title = level.meaning;
        box.append(entry);
      }
      return;
    }
    const colours = one.kind === "spread" ? told.colours.spread : [...told.colours.against].reverse().concat(told.colours.for);
    const bar = make("svg", { viewBox: `0 0 ${colours.length} 1`, preserveAspectRatio: "none" });
    colours.forEach((colour, i) => bar.append(make("rect", { x: i, width: 1.02, height: 1, fill: `rgb(${colour.join(",")})` })));
    const scale = word("", "scale");
    const low = one.kind === "spread" ? "0" : "against  −" + short(one.high);
    scale.append(word(low), bar, word(short(one.high) + (one.kind === "spread" ? "" : "  for")));
    box.append(scale, word(one.unit));
  }

  keys(event) {
    const steps = { ArrowLeft: [1, 0, 0], ArrowRight: [-1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const size = event.shiftKey ? 5 : 1;
    this.nv.moveCrosshairInVox(...step.map((x) => x * size));
    this.where();
  }
}

async function start() {
  const nv = new Niivue({
    isRadiologicalConvention: true, sagittalNoseLeft: true, backColor: [0, 0, 0, 1], crosshairColor: [1, 0.88, 0.3, 0.9],
    crosshairWidth: 0.3, crosshairWidthUnit: "percent", crosshairGap: 3, fontColor: [0.9, 0.93, 0.95, 1], isColorbar: false, show3Dcrosshair: true, loadingText: "", dragAndDropEnabled: false,
    isOrientationTextVisible: told.inPatient, isCornerOrientationText: false, showAllOrientationMarkers: true, viewModeHotKey: "", clipPlaneHotKey: "",
    dragMode: DRAG_MODE.slicer3D, multiplanarShowRender: SHOW_RENDER.NEVER, logLevel: "error", fontMinPx: 13, fontSizeScaling: 0.35,
    tileMargin: 6, clipPlaneColor: [0, 0, 0, 0],
  });
  for (const name of ["for", "against", "spread"]) nv.addColormap("camlime-" + name, ramp(told.colours[name]));
  $("stage").hidden = false;
  await nv.attachToCanvas(canvas);
  const scan = await load(told.scan, "gray");
  const regions = await load(told.regions, "gray");
  nv.addVolume(scan);
  const view = new View(nv, scan, regions);
  nv.onLocationChange = () => view.where();
  view.window();
  view.arrange($("view") ? $("view").value : "axial");
  await view.map($("map").value);
  view.go(told.point);

  $("map").addEventListener("change", () => view.map($("map").value));
  if ($("view")) $("view").addEventListener("change", () => view.arrange($("view").value));
  for (const id of ["opacity", "threshold"]) $(id).addEventListener("input", () => view.paint());
  for (const id of ["level", "width"]) if ($(id)) $(id).addEventListener("input", () => view.window());
  $("voxels").addEventListener("change", () => nv.setInterpolation($("voxels").checked));
  $("home").addEventListener("click", () => view.go(told.point));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  canvas.addEventListener("keydown", (event) => view.keys(event), true);
  for (const button of view.rows) {
    button.addEventListener("click", () => {
      view.go(button.dataset.at.split(" ").map(Number));
      $("stage").scrollIntoView({ block: "nearest" });
    });
  }
  $("no-viewer").hidden = true;
  document.documentElement.dataset.viewer = "ready";
}

if (canvas.getContext && document.createElement("canvas").getContext("webgl2")) {
  start().catch((error) => {
    $("stage").hidden = true;
    document.documentElement.dataset.viewer = "failed: " + error.message;
  });
} else {
  document.documentElement.dataset.viewer = "no WebGL 2";
}
