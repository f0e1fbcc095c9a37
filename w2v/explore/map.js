// One map: its points, its labels, the choice and its neighbours, and moving about.

const MARGIN = 36; // pixels around the whole map
const FIRST_CUT = 0.01; // share of the words beyond each side of the first view: a few far ones must not shrink it
const ROOM = 0.03; // of the span between these sides, which the first view shows beyond them
const DEEPEST = 600; // times the scale of the first view
const SHOWN_LABELS = 170;
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

// Which points lie near a place: rows by the cells of a grid.
class Grid {
  constructor(positions) {
    const size = positions.length / 2;
    this.positions = positions;
    let low = Infinity, high = -Infinity;
    for (const value of positions) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    this.low = low;
    this.count = Math.max(1, Math.ceil(Math.sqrt(size / 2)));
    this.cell = (high - low) / this.count || 1;
    this.starts = new Uint32Array(this.count * this.count + 1);
    const cells = new Uint32Array(size);
    for (let row = 0; row < size; row++) {
      cells[row] = this.at(positions[2 * row]) + this.count * this.at(positions[2 * row + 1]);
      this.starts[cells[row] + 1]++;
    }
    for (let i = 0; i < this.count * this.count; i++) this.starts[i + 1] += this.starts[i];
    const next = this.starts.slice();
    this.rows = new Uint32Array(size);
    for (let row = 0; row < size; row++) this.rows[next[cells[row]]++] = row;
  }

  at(value) {
    return Math.max(0, Math.min(this.count - 1, Math.floor((value - this.low) / this.cell)));
  }

  // The row nearest to x, y within a distance, or -1; of equally near ones the most frequent.
  nearest(x, y, distance) {
    let best = -1, least = distance * distance;
    for (let j = this.at(y - distance); j <= this.at(y + distance); j++) {
      const line = j * this.count;
      const start = this.starts[line + this.at(x - distance)], end = this.starts[line + this.at(x + distance) + 1];
      for (let i = start; i < end; i++) {
        const row = this.rows[i];
        const dx = this.positions[2 * row] - x, dy = this.positions[2 * row + 1] - y, square = dx * dx + dy * dy;
        if (square < least || (square === least && row < best)) {
          least = square;
          best = row;
        }
      }
    }
    return best;
  }
}

class MapView {
  // actions: select(row), clear(), hover(row or -1).
  constructor(parent, model, words, letter, actions) {
    Object.assign(this, { model, words, actions, positions: model.positions });
    this.camera = { x: 0, y: 0, scale: 1 };
    this.hovered = -1;
    this.choice = null; // {rows, links: [[row, row, cosine]]}: the first of the rows is the chief one
    this.boxes = []; // of the labels drawn last: [row, left, top, right, bottom]
    this.pointers = new Map();
    this.grid = new Grid(this.positions);
    this.build(parent, letter);
    this.makePainter();
    this.family = getComputedStyle(this.host).fontFamily;
    this.labels = new Labels(words, this.positions, this.family);
    this.listen();
    this.resize();
    new ResizeObserver(() => this.resize()).observe(this.host);
    this.labels.layOut(() => this.redraw());
  }

  build(parent, letter) {
    const host = (this.host = element("section", "map"));
    const about = `${this.model.name}: ${number(this.words.length)} words`;
    host.setAttribute("aria-label", `Map of ${about}`);
    this.points = element("canvas", "points");
    this.overlay = element("canvas", "overlay");
    const attributes = {
      tabindex: "0", role: "application", "aria-roledescription": "map",
      "aria-label": `Map of ${about}. Arrow keys move it, plus and minus zoom, zero shows everything, Enter chooses ` +
        "the word nearest to the middle.",
    };
    for (const [name, value] of Object.entries(attributes)) this.overlay.setAttribute(name, value);
    const buttons = element("div", "zoom");
    const kinds = [["+", "Zoom in", () => this.zoomBy(1.8)], ["−", "Zoom out", () => this.zoomBy(1 / 1.8)]];
    for (const [sign, label, act] of [...kinds, ["⤢", "Show everything", () => this.fit(true)]]) {
      const button = element("button", "icon", sign);
      button.type = "button";
      button.setAttribute("aria-label", label);
      button.addEventListener("click", act);
      buttons.append(button);
    }
    host.append(this.points, this.overlay);
    if (letter) {
      const caption = element("p", "caption");
      caption.append(badge(letter), element("span", "", this.model.name));
      host.append(caption);
    }
    host.append(buttons);
    parent.append(host);
    this.context = this.overlay.getContext("2d");
  }

  // kind: "auto" is WebGL on a GPU, else pixels, which are faster than a WebGL that the processor imitates.
  makePainter(kind = "auto") {
    try {
      if (kind === "pixels") throw new Error("asked for pixels");
      this.painter = new WebGLPainter(this.freshCanvas(), this.positions, kind === "auto");
      this.points.addEventListener("webglcontextlost", () => this.makePainter("pixels"), { once: true });
    } catch {
      this.painter = new PixelPainter(this.freshCanvas(), this.positions);
    }
    this.host.dataset.painter = this.painter.constructor.name;
    if (this.width) this.resize();
  }

  // A canvas gives one kind of context only, even where that failed.
  freshCanvas() {
    const fresh = element("canvas", "points");
    this.points.replaceWith(fresh);
    return (this.points = fresh);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (!width || !height) return;
    const same = (camera) => Math.abs(this.camera.scale / camera.scale - 1) < 1e-9;
    const kept = !this.width ? "first" : ["first", "whole"].find((name) => same(this[name]));
    Object.assign(this, { width, height, ratio: Math.min(3, window.devicePixelRatio || 1) });
    this.painter.resize(width, height, this.ratio);
    this.overlay.width = Math.round(width * this.ratio);
    this.overlay.height = Math.round(height * this.ratio);
    this.first = this.cameraOf(FIRST_CUT);
    this.whole = this.cameraOf(0);
    if (kept) this.camera = { ...this[kept] };
    this.covered = this.coveredBoxes();
    this.moved = true;
    this.draw(); // at once: a canvas that was resized is blank
  }

  // Sees the words but for a share cut off at each end of both axes, with room around them; with 0 sees all.
  cameraOf(cut) {
    this.sorted ??= [0, 1].map((axis) => this.positions.filter((_, i) => i % 2 === axis).sort());
    const sides = this.sorted.map((values) => {
      const last = values.length - 1, out = Math.floor(last * cut);
      const room = ROOM * (values[last - out] - values[out]);
      return [Math.max(values[0], values[out] - room), Math.min(values[last], values[last - out] + room)];
    });
    const spans = sides.map(([low, high]) => high - low || 1e-3);
    const size = [Math.max(40, this.width - 2 * MARGIN), Math.max(40, this.height - 2 * MARGIN)];
    const [x, y] = sides.map(([low, high]) => (low + high) / 2);
    return { x, y, scale: Math.min(size[0] / spans[0], size[1] / spans[1]) };
  }

  // What lies over the map, in its CSS pixels: labels keep away. Boxes are as those of labels.
  coveredBoxes() {
    const { left, top } = this.host.getBoundingClientRect();
    return [...this.host.querySelectorAll(".zoom, .caption")].map((part) => {
      const box = part.getBoundingClientRect();
      return [-1, box.left - left, box.top - top, box.right - left, box.bottom - top];
    });
  }

  // Whether a label's box can be read there: within the map, and under nothing.
  free(box) {
    const [, left, top, right, bottom] = box;
    const inside = left >= 0 && top >= 0 && right <= this.width && bottom <= this.height;
    return inside && !this.covered.some((part) => meet(box, part));
  }

  // Where a row lies, in CSS pixels of the map.
  where(row) {
    const { x, y, scale } = this.camera;
    return [
      this.width / 2 + (this.positions[2 * row] - x) * scale, this.height / 2 - (this.positions[2 * row + 1] - y) * scale,
    ];
  }

  // The row at a place in CSS pixels: a label, else the nearest point within reach; -1 where there is none.
  rowAt(px, py, reach) {
    const label = this.boxes.find(([, l, t, r, b]) => px >= l && px <= r && py >= t && py <= b);
    const { x, y, scale } = this.camera;
    const at = (distance) =>
      this.grid.nearest(x + (px - this.width / 2) / scale, y - (py - this.height / 2) / scale, distance / scale);
    const point = at(label ? 4 : reach);
    return point >= 0 || !label ? point : label[0];
  }

  // --- moving ---

  move(camera) {
    const least = this.whole.scale / 2, most = this.first.scale * DEEPEST;
    const clamp = (value) => Math.max(-1.5, Math.min(1.5, value));
    this.camera = {
      x: clamp(camera.x), y: clamp(camera.y), scale: Math.max(least, Math.min(most, camera.scale)),
    };
    this.redraw(true);
  }

  zoomAt(px, py, factor) {
    const { x, y, scale } = this.camera, limits = [this.whole.scale / 2, this.first.scale * DEEPEST];
    const next = Math.max(limits[0], Math.min(limits[1], scale * factor));
    const shift = 1 / scale - 1 / next;
    this.move({ x: x + (px - this.width / 2) * shift, y: y - (py - this.height / 2) * shift, scale: next });
  }

  zoomBy(factor) {
    const { x, y, scale } = this.flight?.to ?? this.camera;
    this.fly({ x, y, scale: scale * factor }, 220);
  }

  panBy(px, py) {
    const { x, y, scale } = this.flight?.to ?? this.camera;
    this.fly({ x: x + px / scale, y: y - py / scale, scale }, 140);
  }

  fit() {
    this.fly(this.whole, 450);
  }

  fly(to, milliseconds) {
    if (calm.matches || document.hidden) {
      this.flight = null;
      this.move(to);
      return;
    }
    this.flight = { from: { ...this.camera }, to, start: performance.now(), milliseconds };
    this.redraw(true);
  }

  // One step of a flight. The scale moves evenly for the eye, by its logarithm; the middle as it does when one zooms
  // towards a place.
  step(now) {
    const { from, to, start, milliseconds } = this.flight;
    const time = Math.min(1, Math.max(0, (now - start) / milliseconds)), t = 1 - (1 - time) ** 3;
    const scale = from.scale * (to.scale / from.scale) ** t;
    const same = Math.abs(to.scale / from.scale - 1) < 0.01;
    const left = same ? 1 - t : (1 / scale - 1 / to.scale) / (1 / from.scale - 1 / to.scale);
    if (time >= 1) this.flight = null;
    this.move({ x: to.x + (from.x - to.x) * left, y: to.y + (from.y - to.y) * left, scale });
  }

  // Brings the choice into view: all of a few rows; of many the chief one in the middle, and those not far from it.
  show() {
    if (!this.choice) return;
    const places = this.choice.rows.slice(0, 13).map((row) => [this.positions[2 * row], this.positions[2 * row + 1]]);
    const few = places.length < 6;
    const [x, y] = [0, 1].map((axis) => {
      const along = places.map((place) => place[axis]);
      return few ? (Math.min(...along) + Math.max(...along)) / 2 : along[0];
    });
    const away = places.map(([px, py]) => Math.max(Math.abs(px - x), Math.abs(py - y))).sort((a, b) => a - b);
    const reach = away[few ? away.length - 1 : Math.floor(away.length * 0.75)] || 0.05;
    const scale = (0.4 * Math.min(this.width, this.height)) / reach;
    this.fly({ x, y, scale: Math.max(this.whole.scale, Math.min(this.first.scale * 16, scale)) }, 650);
  }

  sees(row) {
    const [x, y] = this.where(row);
    return x > 20 && y > 20 && x < this.width - 20 && y < this.height - 20;
  }

  choose(choice) {
    this.choice = choice;
    this.redraw(true);
  }

  hover(row) {
    if (row === this.hovered) return;
    this.hovered = row;
    this.overlay.style.cursor = row >= 0 ? "pointer" : "";
    this.redraw();
  }

  // --- input ---

  listen() {
    const at = (event) => {
      const box = this.overlay.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    const on = (name, act, options) => this.overlay.addEventListener(name, act, options);
    on("wheel", (event) => {
      event.preventDefault();
      this.flight = null;
      const lines = event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 400 : 1;
      const speed = event.ctrlKey ? 0.01 : 0.0018; // a trackpad's pinch comes as a wheel with Ctrl
      this.zoomAt(...at(event), Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) * speed));
    }, { passive: false });
    on("pointerdown", (event) => this.down(event, at(event)));
    on("pointermove", (event) => this.drag(event, at(event)));
    on("pointerup", (event) => this.up(event, at(event)));
    on("pointercancel", (event) => this.pointers.delete(event.pointerId));
    on("pointerleave", () => this.actions.hover(-1));
    on("dblclick", (event) => {
      const [x, y] = at(event);
      if (this.rowAt(x, y, 0) < 0 || event.shiftKey) this.zoomAt(x, y, event.shiftKey ? 0.5 : 2);
    });
    on("keydown", (event) => this.key(event));
    on("focus", () => this.redraw());
    on("blur", () => this.redraw());
  }

  down(event, [x, y]) {
    if (event.button > 0) return;
    this.overlay.setPointerCapture(event.pointerId);
    this.flight = null;
    this.pointers.set(event.pointerId, { x, y, startX: x, startY: y, far: this.pointers.size > 0 });
    this.byKeyboard = false;
    this.redraw();
  }

  drag(event, [x, y]) {
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) {
      this.actions.hover(this.rowAt(x, y, 12));
      return;
    }
    const threshold = event.pointerType === "touch" ? 9 : 4;
    if (Math.hypot(x - pointer.startX, y - pointer.startY) > threshold) pointer.far = true;
    const others = [...this.pointers.entries()].filter(([id]) => id !== event.pointerId);
    const { x: fromX, y: fromY } = pointer;
    Object.assign(pointer, { x, y });
    if (!others.length) {
      if (pointer.far) {
        const { x: cx, y: cy, scale } = this.camera;
        this.move({ x: cx - (x - fromX) / scale, y: cy + (y - fromY) / scale, scale });
      } else Object.assign(pointer, { x: fromX, y: fromY });
      return;
    }
    // Two fingers: the place between them stays between them.
    const [, other] = others[0];
    other.far = pointer.far = true;
    const before = Math.hypot(fromX - other.x, fromY - other.y), now = Math.hypot(x - other.x, y - other.y);
    const { x: cx, y: cy, scale } = this.camera;
    this.move({ x: cx - (x - fromX) / 2 / scale, y: cy + (y - fromY) / 2 / scale, scale });
    if (before > 8 && now > 8) this.zoomAt((x + other.x) / 2, (y + other.y) / 2, now / before);
  }

  up(event, [x, y]) {
    const pointer = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    if (!pointer || pointer.far) return;
    const row = this.rowAt(x, y, event.pointerType === "touch" ? 24 : 12);
    if (row >= 0) this.actions.select(row);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 90;
    const pans = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (pans[event.key]) this.panBy(...pans[event.key]);
    else if (event.key === "Enter" && this.middle() >= 0) this.actions.select(this.middle());
    else return;
    event.preventDefault();
    this.byKeyboard = true;
    this.redraw();
    const picked = this.middle(this.flight?.to);
    if (pans[event.key]) announce(picked < 0 ? "No word here." : isolated(this.words[picked]));
  }

  // The row nearest to the middle: what Enter chooses.
  middle(camera = this.camera) {
    return this.grid.nearest(camera.x, camera.y, 120 / camera.scale);
  }

  // --- drawing ---

  redraw(moved = false) {
    this.moved ||= moved;
    this.frame ??= requestAnimationFrame((now) => {
      this.frame = null;
      if (this.flight) this.step(now);
      this.draw();
    });
  }

  draw() {
    if (!this.width || !theme.colours) return;
    if (this.moved) {
      const strength = this.choice ? theme.colours.dimmed : theme.colours.strength;
      this.painter.draw(this.camera, { ...theme.colours.points, strength });
      this.moved = false;
    }
    const context = this.context;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.direction = "ltr";
    context.lineJoin = "round";
    this.boxes = [];
    if (this.choice) this.drawChoice(context);
    this.drawLabels(context);
    const keyboard = this.byKeyboard !== false && this.overlay.matches(":focus-visible");
    if (keyboard) this.drawMiddle(context);
    const picked = keyboard && this.hovered < 0 ? this.middle() : this.hovered;
    if (picked >= 0) this.drawPill(context, picked);
  }

  radius(row) {
    const weight = 1 - Math.log(row + 1) / Math.log(this.words.length + 1);
    return radiusAt(this.camera.scale) * (SMALLEST + (LARGEST - SMALLEST) * weight);
  }

  drawLabels(context) {
    const { labels, camera, width, height } = this, colours = theme.colours;
    const fade = this.choice ? 0.6 : 1, chosen = new Set(this.choice?.rows);
    let shown = 0;
    for (const row of labels.order) {
      const from = scaleOfStep(labels.step[row]);
      if (from > camera.scale || shown >= SHOWN_LABELS) break;
      const [x, y] = this.where(row);
      if (x < -20 || x > width || y < 0 || y > height || chosen.has(row)) continue;
      const tier = labels.tier(row), left = x + LABEL_GAP + (this.radius(row) - 2);
      const box = [row, left - 2, y - tier.height / 2, left + labels.width(row) + 2, y + tier.height / 2];
      if (!this.free(box) || (this.choice && this.boxes.some((other) => meet(box, other)))) continue;
      shown++;
      context.globalAlpha = fade * Math.min(1, 0.35 + 25 * (camera.scale / from - 1));
      this.write(context, labels.text(row), left, y, `${tier.font} ${this.family}`, colours.label);
      this.boxes.push(box);
    }
    context.globalAlpha = 1;
  }

  write(context, text, x, y, font, colour) {
    context.font = font;
    context.strokeStyle = theme.colours.halo;
    context.lineWidth = 3;
    context.strokeText(text, x, y);
    context.fillStyle = colour;
    context.fillText(text, x, y);
  }

  drawChoice(context) {
    const colours = theme.colours, [chief, ...others] = this.choice.rows;
    context.strokeStyle = colours.chosen;
    this.choice.links.forEach(([from, to, cosine]) => {
      const [x, y] = this.where(from), [nx, ny] = this.where(to);
      context.globalAlpha = 0.12 + 0.45 * Math.max(0, cosine);
      context.lineWidth = 0.6 + 1.4 * Math.max(0, cosine);
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(nx, ny);
      context.stroke();
    });
    context.globalAlpha = 1;
    for (const row of [...others].reverse()) this.disc(context, row, this.radius(row) + 1.4);
    this.disc(context, chief, this.radius(chief) + 3.4);
    this.place(context, chief, "700 17px", 22, colours.chosenLabel);
    for (const row of others) this.place(context, row, "500 13px", 17, colours.chosenLabel);
  }

  disc(context, row, radius) {
    const [x, y] = this.where(row);
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fillStyle = theme.colours.chosen;
    context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = theme.colours.halo;
    context.stroke();
  }

  // Writes a label to the right of its point, to the left, above or below, where it meets no other; else not at all.
  // Where it would be cut off or covered is the last resort.
  place(context, row, font, height, colour) {
    const [x, y] = this.where(row), text = this.labels.text(row), gap = LABEL_GAP + this.radius(row) + 1;
    context.font = `${font} ${this.family}`;
    const width = context.measureText(text).width;
    const away = height / 2 + gap - LABEL_GAP, begin = x - width / 2;
    const boxes = [[x + gap, y], [x - gap - width, y], [begin, y - away], [begin, y + away]].map(
      ([left, line]) => [row, left - 2, line - height / 2, left + width + 2, line + height / 2],
    ).filter((box) => !this.boxes.some((other) => meet(box, other)));
    const box = boxes.find((each) => this.free(each)) ?? boxes[0];
    if (!box) return;
    this.write(context, text, box[1] + 2, (box[2] + box[4]) / 2, context.font, colour);
    this.boxes.push(box);
  }

  drawMiddle(context) {
    const [x, y] = [this.width / 2, this.height / 2];
    context.strokeStyle = theme.colours.label;
    context.lineWidth = 1.5;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 6 * dx, y + 6 * dy);
      context.lineTo(x + 14 * dx, y + 14 * dy);
    }
    context.stroke();
  }

  // The word under the pointer, with its rank, on a plate of its own.
  drawPill(context, row) {
    const [x, y] = this.where(row), colours = theme.colours;
    const text = this.labels.text(row), note = `#${number(this.model.ranks[row])}`;
    context.font = `600 14px ${this.family}`;
    const wide = context.measureText(text).width;
    context.font = `400 12px ${this.family}`;
    const width = wide + 8 + context.measureText(note).width + 18;
    const left = Math.max(4, Math.min(this.width - width - 4, x + 12)), top = y > 44 ? y - 38 : y + 12;
    context.beginPath();
    context.arc(x, y, 7, 0, 7);
    context.lineWidth = 2;
    context.strokeStyle = colours.plate;
    context.stroke();
    context.beginPath();
    context.roundRect(left, top, width, 27, 7);
    context.fillStyle = colours.plate;
    context.fill();
    context.fillStyle = colours.plateText;
    context.globalAlpha = 0.75;
    context.fillText(note, left + 9 + wide + 8, top + 14);
    context.globalAlpha = 1;
    context.font = `600 14px ${this.family}`;
    context.fillText(text, left + 9, top + 14);
  }
}

function meet([, left, top, right, bottom], [, otherLeft, otherTop, otherRight, otherBottom]) {
  return left < otherRight && otherLeft < right && top < otherBottom && otherTop < bottom;
}
