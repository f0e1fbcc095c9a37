// What the page knows: words, and for each model the points of its map and its vectors, which answer questions.

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

class Model {
  constructor(record, words) {
    this.name = record.name;
    this.record = record;
    this.size = words.length;
    this.dimensions = record.dimensions;
    this.positions = new Float32Array(bytesOf(record.positions).buffer);
    this.vectors = new Int8Array(bytesOf(record.vectors).buffer);
    this.ranks = record.ranks;
    this.counts = record.counts;
    // Rows had length 1 before they were rounded to 8 bits: dividing by their length gives it back. A row of zeros
    // is similar to nothing.
    this.inverse = new Float64Array(this.size);
    for (let row = 0, at = 0; row < this.size; row++) {
      let square = 0;
      for (let d = 0; d < this.dimensions; d++, at++) square += this.vectors[at] * this.vectors[at];
      this.inverse[row] = square > 0 ? 1 / Math.sqrt(square) : 0;
    }
  }

  // Adds weight times the unit vector of row to sum.
  add(sum, row, weight) {
    const start = row * this.dimensions;
    for (let d = 0; d < this.dimensions; d++) sum[d] += weight * this.inverse[row] * this.vectors[start + d];
  }

  // The count rows nearest to the sum of (row, weight) pairs, those rows left out: [{row, cosine}], nearest first,
  // equal ones by row. This is 3CosAdd where there is more than one pair.
  nearest(pairs, count) {
    const query = new Float64Array(this.dimensions);
    for (const [row, weight] of pairs) this.add(query, row, weight);
    const length = Math.hypot(...query) || 1;
    for (let d = 0; d < query.length; d++) query[d] /= length;
    const asked = new Set(pairs.map(([row]) => row));
    const best = [];
    let floor = -Infinity;
    for (let row = 0, at = 0; row < this.size; row++) {
      let sum = 0;
      for (let d = 0; d < this.dimensions; d++, at++) sum += query[d] * this.vectors[at];
      const cosine = sum * this.inverse[row];
      if (cosine <= floor || asked.has(row)) continue;
      let place = best.length;
      while (place > 0 && best[place - 1].cosine < cosine) place--;
      best.splice(place, 0, { row, cosine });
      if (best.length > count) best.pop();
      if (best.length === count) floor = best[count - 1].cosine;
    }
    return best;
  }

  neighbours(row, count) {
    return this.nearest([[row, 1]], count);
  }

  // a is to b as c is to the answers: b - a + c.
  analogy(a, b, c, count) {
    return this.nearest([[b, 1], [a, -1], [c, 1]], count);
  }
}

function readData() {
  const data = JSON.parse(document.getElementById("data").textContent);
  data.models = data.models.map((record) => new Model(record, data.words));
  data.shared = data.shared === null ? null : bytesOf(data.shared);
  data.rows = new Map();
  data.words.forEach((word, row) => data.rows.has(word) || data.rows.set(word, row));
  return data;
}
