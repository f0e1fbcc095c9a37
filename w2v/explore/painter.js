// The points of a map: by WebGL, or pixel by pixel where there is none. Both draw rare words first, and have
//   resize(width, height, ratio)   the size in CSS pixels and how many device pixels each has
//   draw(camera, tones)            camera: {x, y, scale}; tones: colours as [r, g, b] of 0..255 (rare, frequent) and
//                                  strength, the opacity of 0..1

const SMALLEST = 1.05, LARGEST = 3.4; // radii in CSS pixels where a unit of the map is as long as USUAL
const USUAL = 350; // pixels: about a whole map on a desk

// Points grow more slowly than what lies between them.
const radiusAt = (scale) => Math.min(3, Math.max(0.6, (scale / USUAL) ** 0.32));

// 1 for the most frequent word down to 0 for the rarest.
function weightsOf(size) {
  const weights = new Float32Array(size);
  for (let row = 0; row < size; row++) weights[row] = 1 - Math.log(row + 1) / Math.log(size + 1);
  return weights;
}

const VERTEX = `
attribute vec2 place; attribute float weight;
uniform vec2 centre, scale; uniform float radius, ratio;
varying float tone, size;
void main() {
  float r = radius * mix(${SMALLEST.toFixed(2)}, ${LARGEST.toFixed(2)}, weight) * ratio;
  tone = weight; size = 2.0 * r + 1.0;
  gl_PointSize = size;
  gl_Position = vec4((place - centre) * scale, 0.0, 1.0);
}`;

const FRAGMENT = `
precision mediump float;
uniform vec3 rare, frequent; uniform float strength;
varying float tone, size;
void main() {
  float inside = clamp(0.5 * size - length(gl_PointCoord - 0.5) * size, 0.0, 1.0);
  float alpha = inside * strength * mix(0.72, 0.95, tone);
  gl_FragColor = vec4(mix(rare, frequent, sqrt(tone)) * alpha, alpha);
}`;

// Whether the processor does the work of a GPU: not every browser counts that as a caveat.
function imitated(gl) {
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const name = gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(String(name));
}

class WebGLPainter {
  // Throws where the canvas gives no WebGL, or its compiler fails; with fast, also where there is no GPU behind it.
  constructor(canvas, positions, fast) {
    this.canvas = canvas;
    const wishes = { antialias: false, depth: false, premultipliedAlpha: true, failIfMajorPerformanceCaveat: fast };
    const gl = canvas.getContext("webgl", wishes);
    if (!gl || (fast && imitated(gl))) throw new Error("no WebGL on a GPU");
    this.gl = gl;
    this.size = positions.length / 2;
    this.program = this.link();
    const weights = weightsOf(this.size);
    const points = new Float32Array(3 * this.size);
    for (let row = 0, at = 0; row < this.size; row++) {
      const from = this.size - 1 - row;
      points[at++] = positions[2 * from];
      points[at++] = positions[2 * from + 1];
      points[at++] = weights[from];
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, points, gl.STATIC_DRAW);
    for (const [name, length, offset] of [["place", 2, 0], ["weight", 1, 8]]) {
      const where = gl.getAttribLocation(this.program, name);
      gl.enableVertexAttribArray(where);
      gl.vertexAttribPointer(where, length, gl.FLOAT, false, 12, offset);
    }
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  link() {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    const names = ["centre", "scale", "radius", "ratio", "rare", "frequent", "strength"];
    this.places = Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]));
    return program;
  }

  resize(width, height, ratio) {
    this.width = width;
    this.height = height;
    this.ratio = ratio;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.gl.viewport(0, 0, this.canvas.width, this.canvas.height);
  }

  draw(camera, tones) {
    const gl = this.gl, at = this.places;
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(at.centre, camera.x, camera.y);
    gl.uniform2f(at.scale, (2 * camera.scale) / this.width, (2 * camera.scale) / this.height);
    gl.uniform1f(at.radius, radiusAt(camera.scale));
    gl.uniform1f(at.ratio, this.ratio);
    gl.uniform3f(at.rare, ...tones.rare.map((c) => c / 255));
    gl.uniform3f(at.frequent, ...tones.frequent.map((c) => c / 255));
    gl.uniform1f(at.strength, tones.strength);
    gl.drawArrays(gl.POINTS, 0, this.size);
  }
}

// Writes the discs into an image by itself: calling the canvas once a point would take several frames' time.
// A disc is a list of pixels with the share that it covers of each, for 16 weights and 3 x 3 places of its middle within
// a pixel. Where discs meet, opacity adds up and the colour is that of the word drawn last, the more frequent one.
const WEIGHTS = 16, PLACES = 3;

class PixelPainter {
  constructor(canvas, positions) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.positions = positions;
    this.size = positions.length / 2;
    this.levels = Uint8Array.from(weightsOf(this.size), (weight) => Math.round((WEIGHTS - 1) * weight));
  }

  resize(width, height, ratio) {
    this.ratio = ratio;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.image = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.pixels = new Int32Array(this.image.data.buffer); // signed: the fast kind of integer
  }

  draw(camera, tones) {
    const { width, height } = this.canvas, { pixels, positions, levels, ratio } = this;
    const scale = camera.scale * ratio, left = width / 2 - camera.x * scale, top = height / 2 + camera.y * scale;
    const { discs, reach } = this.discs(camera.scale, tones);
    pixels.fill(0);
    for (let row = this.size - 1; row >= 0; row--) {
      const x = left + positions[2 * row] * scale, y = top - positions[2 * row + 1] * scale;
      if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
      const column = Math.floor(x), line = Math.floor(y), place = ((x - column) * PLACES) | 0;
      const disc = discs[(levels[row] * PLACES + (((y - line) * PLACES) | 0)) * PLACES + place];
      const middle = line * width + column, { colour, offsets, alphas } = disc;
      for (let i = 0; i < offsets.length; i++) {
        const at = middle + offsets[i], alpha = alphas[i], before = pixels[at], below = before >>> 24;
        const sum = alpha + below - ((alpha * below) >> 8);
        pixels[at] = (2 * alpha >= below ? colour : before & 0xffffff) | (sum << 24);
      }
    }
    this.context.putImageData(this.image, 0, 0);
  }

  discs(scale, tones) {
    const discs = [], unit = radiusAt(scale) * this.ratio;
    for (let level = 0; level < WEIGHTS; level++) {
      const weight = level / (WEIGHTS - 1), radius = unit * (SMALLEST + (LARGEST - SMALLEST) * weight);
      const [r, g, b] = tones.rare.map((c, i) => Math.round(c + (tones.frequent[i] - c) * Math.sqrt(weight)));
      const colour = r | (g << 8) | (b << 16), alpha = 255 * tones.strength * (0.72 + 0.23 * weight);
      for (let i = 0; i < PLACES * PLACES; i++) {
        const middle = [(i % PLACES) + 0.5, Math.floor(i / PLACES) + 0.5].map((part) => part / PLACES - 0.5);
        discs.push({ colour, ...this.disc(radius, middle, alpha) });
      }
    }
    return { discs, reach: Math.ceil(unit * LARGEST) + 2 };
  }

  // The pixels around 0, 0 that a disc around middle covers: distances in the image, and opacities of 0..255.
  disc(radius, [x, y], alpha) {
    const reach = Math.ceil(radius + 1), offsets = [], alphas = [];
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        const inside = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx - x, dy - y)));
        if (inside < 0.04) continue;
        offsets.push(dy * this.canvas.width + dx);
        alphas.push(Math.round(alpha * inside));
      }
    }
    return { offsets: Int32Array.from(offsets), alphas: Uint8Array.from(alphas) };
  }
}
