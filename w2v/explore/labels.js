// From which scale on each word's label is shown, so that no two labels meet.
//
// Frequent words come first. A label that is shown at a scale stays at every larger one, and whether it is shown does
// not depend on what part of the map is seen: labels neither flicker nor jump while the map moves. Scales are looked
// at in steps of the square root of two; work is cut into slices between frames.

const FIRST_SCALE = 96; // pixels per unit of the map
const STEPS = 27;
const NEVER = 255;
const LABEL_GAP = 5; // pixels between a point and its label
const LONGEST = 26; // characters of a label

const TIERS = [
  { share: 0.004, font: "600 15px", height: 21 },
  { share: 0.05, font: "500 13px", height: 18 },
  { share: 1, font: "400 12px", height: 16 },
];

const scaleOfStep = (step) => FIRST_SCALE * 2 ** (step / 2);

class Labels {
  constructor(words, positions, family) {
    this.words = words;
    this.positions = positions;
    this.family = family;
    this.step = new Uint8Array(words.length).fill(NEVER);
    this.order = []; // rows in the order in which they appear
    this.widths = new Float32Array(words.length);
    this.ends = TIERS.map((tier) => Math.max(12, Math.ceil(tier.share * words.length)));
    this.context = document.createElement("canvas").getContext("2d");
    this.done = false;
  }

  tier(row) {
    return TIERS[row < this.ends[0] ? 0 : row < this.ends[1] ? 1 : 2];
  }

  text(row) {
    // Line breaks and the like have no place in one line.
    const word = this.words[row].replace(/[\s\p{Cc}]+/gu, " ");
    const characters = Array.from(word);
    return characters.length > LONGEST ? characters.slice(0, LONGEST - 1).join("") + "…" : word;
  }

  width(row) {
    if (this.widths[row] === 0) {
      this.context.font = `${this.tier(row).font} ${this.family}`;
      this.widths[row] = Math.max(1, this.context.measureText(this.text(row)).width);
    }
    return this.widths[row];
  }

  // Runs to the end in slices of a few milliseconds; calls changed after each.
  layOut(changed) {
    const work = this.steps();
    const wait = window.requestIdleCallback ?? ((call) => setTimeout(call, 30));
    const slice = () => {
      const end = performance.now() + 6;
      while (performance.now() < end) {
        if (work.next().done) {
          this.done = true;
          break;
        }
      }
      changed();
      if (!this.done) wait(slice, { timeout: 200 });
    };
    slice();
  }

  *steps() {
    for (let step = 0; step < STEPS && this.order.length < this.words.length; step++) {
      const taken = new Boxes();
      for (const row of this.order) taken.add(...this.box(row, scaleOfStep(step)));
      yield;
      for (let row = 0; row < this.words.length; row++) {
        if (row % 256 === 0) yield;
        if (this.step[row] !== NEVER) continue;
        const box = this.box(row, scaleOfStep(step));
        if (taken.meets(...box)) continue;
        taken.add(...box);
        this.step[row] = step;
        this.order.push(row);
      }
    }
  }

  // Left, top, right and bottom in pixels at a scale, with room around.
  box(row, scale) {
    const x = this.positions[2 * row] * scale, y = -this.positions[2 * row + 1] * scale;
    const half = this.tier(row).height / 2 + 1;
    return [x - 4, y - half, x + LABEL_GAP + this.width(row) + 8, y + half];
  }
}

// Rectangles by the cells of a grid that they lie in.
class Boxes {
  constructor() {
    this.cells = new Map();
  }

  *keys(left, top, right, bottom) {
    for (let x = Math.floor(left / 64); x <= Math.floor(right / 64); x++) {
      for (let y = Math.floor(top / 24); y <= Math.floor(bottom / 24); y++) yield x * 4194304 + y;
    }
  }

  add(...box) {
    for (const key of this.keys(...box)) {
      const cell = this.cells.get(key);
      if (cell) cell.push(box);
      else this.cells.set(key, [box]);
    }
  }

  meets(left, top, right, bottom) {
    for (const key of this.keys(left, top, right, bottom)) {
      for (const other of this.cells.get(key) ?? []) {
        if (left < other[2] && other[0] < right && top < other[3] && other[1] < bottom) return true;
      }
    }
    return false;
  }
}
