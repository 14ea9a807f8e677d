// The live page: a spiking network in ONNX Runtime, a whole sequence per call.
const base = new URL(".", import.meta.url);
const SIZE = 32, HIDDEN = 96, CLASSES = 10;
const $ = (id) => document.getElementById(id);

async function load() {
  const ort = await import(new URL("ort.wasm.min.mjs", base).href);
  ort.env.wasm.wasmPaths = base.href;
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(new URL("digits.onnx", base).href, { executionProviders: ["wasm"] });
  return { ort, session };
}

// One call for all T steps: the loops over time are in the file. The pixels are the same in every step.
async function simulate({ ort, session }, pixels, steps) {
  const x = new Float32Array(64 * steps);
  for (let t = 0; t < steps; t++) x.set(pixels, 64 * t);
  const result = await session.run({ [session.inputNames[0]]: new ort.Tensor("float32", x, [steps, 1, 64]) });
  const [hidden, output, counts] = session.outputNames.map((name) => Array.from(result[name].data));
  return { hidden: rows(hidden, HIDDEN), output: rows(output, CLASSES), counts };
}

const rows = (values, size) => Array.from({ length: values.length / size }, (_, t) => values.slice(size * t, size * (t + 1)));
const sum = (rows) => rows.reduce((total, row) => total.map((s, i) => s + row[i]));
const best = (values) => values.indexOf(Math.max(...values));

// As the digits of the data set were made: 32 x 32 binary pixels, counted in blocks of 4 x 4.
function pixelsOf(ink) {
  const on = [];
  ink.forEach((v, i) => v && on.push([i % SIZE, Math.floor(i / SIZE)]));
  if (!on.length) return new Array(64).fill(0);
  const [xs, ys] = [on.map((p) => p[0]), on.map((p) => p[1])];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = Math.max(right - left + 1, bottom - top + 1) / SIZE;
  const [cx, cy] = [(left + right + 1) / 2, (top + bottom + 1) / 2];
  const pixels = new Array(64).fill(0);
  for (let y = 0; y < SIZE; y++) for (let x = 0; x < SIZE; x++) {
    const sx = Math.floor(cx + (x + 0.5 - SIZE / 2) * scale), sy = Math.floor(cy + (y + 0.5 - SIZE / 2) * scale);
    const inside = sx >= 0 && sx < SIZE && sy >= 0 && sy < SIZE;
    if (inside && ink[sy * SIZE + sx]) pixels[Math.floor(y / 4) * 8 + Math.floor(x / 4)] += 1 / 16;
  }
  return pixels;
}

function drawRaster({ hidden, output }) {
  const canvas = $("live-raster"), context = canvas.getContext("2d");
  const color = getComputedStyle(canvas).color;
  canvas.width = 320; canvas.height = 2 * HIDDEN + 60;
  const width = canvas.width / hidden.length;
  context.clearRect(0, 0, canvas.width, canvas.height);
  hidden.forEach((row, t) => row.forEach((s, i) => {
    if (s) { context.fillStyle = color; context.fillRect(t * width + 1, 2 * i, width - 2, 2); }
  }));
  output.forEach((row, t) => row.forEach((s, i) => {
    if (s) { context.fillStyle = "#d9480f"; context.fillRect(t * width + 1, 2 * HIDDEN + 10 + 5 * i, width - 2, 4); }
  }));
}

function drawCounts(values, steps) {
  const winner = Math.max(...values) ? best(values) : -1;
  $("live-counts").dataset.steps = steps;
  $("live-counts").replaceChildren(...values.map((n, i) => {
    const row = document.createElement("div");
    row.className = i === winner ? "live-winner" : "";
    row.innerHTML = `<span>${i}</span><span class="live-bar"><i style="width:${(100 * n) / steps}%"></i></span><span>${n}</span>`;
    return row;
  }));
  $("live-class").textContent = winner < 0 ? "no spikes yet" : `it reads a ${winner}`;
}

function interact(network, expected) {
  const canvas = $("live-draw"), context = canvas.getContext("2d");
  let ink = new Uint8Array(SIZE * SIZE), last = null, busy = false, again = false;
  const side = canvas.width / SIZE;
  const paint = () => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = getComputedStyle(canvas).color;
    ink.forEach((v, i) => v && context.fillRect((i % SIZE) * side, Math.floor(i / SIZE) * side, side, side));
  };
  const show = async (pixels) => {
    if (busy) { again = true; return; }
    busy = true;
    const steps = Number($("live-steps").value);
    $("live-steps-shown").textContent = steps;
    const spikes = await simulate(network, pixels, steps);
    drawRaster(spikes);
    drawCounts(spikes.counts, steps);
    busy = false;
    if (again) { again = false; update(); }
  };
  let current = () => pixelsOf(ink);
  const update = () => show(current());
  const dot = (x, y) => {
    for (let dy = -1; dy <= 1; dy++) for (let dx = -1; dx <= 1; dx++) {
      const [px, py] = [Math.round(x) + dx, Math.round(y) + dy];
      if (px >= 0 && px < SIZE && py >= 0 && py < SIZE) ink[py * SIZE + px] = 1;
    }
  };
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * SIZE, ((event.clientY - box.top) / box.height) * SIZE];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    current = () => pixelsOf(ink);
    last = at(event); dot(...last); paint(); update();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const next = at(event), n = Math.ceil(Math.hypot(next[0] - last[0], next[1] - last[1])) + 1;
    for (let k = 0; k <= n; k++) dot(last[0] + ((next[0] - last[0]) * k) / n, last[1] + ((next[1] - last[1]) * k) / n);
    last = next; paint(); update();
  });
  ["pointerup", "pointercancel"].forEach((name) => canvas.addEventListener(name, () => { last = null; }));
  $("live-clear").addEventListener("click", () => { ink.fill(0); current = () => pixelsOf(ink); paint(); update(); });
  let sample = 1;
  const example = () => {
    const pixels = expected.pixels[sample++ % expected.pixels.length];
    ink.forEach((_, i) => {
      const value = pixels[Math.floor(i / SIZE / 4) * 8 + Math.floor((i % SIZE) / 4)];
      ink[i] = (Math.floor(i / SIZE) % 4) * 4 + (i % 4) < value ? 1 : 0;
    });
    current = () => pixels.map((v) => v / 16);
    paint(); update();
  };
  $("live-example").addEventListener("click", example);
  $("live-steps").addEventListener("input", update);
  example();
}

// `?test`: the spikes of every neuron in every step, compared with those that Python recorded.
async function test(network, expected) {
  const drawn = pixelsOf(Uint8Array.from(expected.ink)).map((v) => 16 * v);
  const same = drawn.every((v, i) => v === expected.pixels[0][i]);
  let different = 0, right = 0, classes = 0, total = 0;
  for (let i = 0; i < expected.pixels.length; i++) {
    const { hidden, output, counts } = await simulate(network, expected.pixels[i].map((v) => v / 16), expected.steps);
    const [h, o] = [hidden.flat().join(""), output.flat().join("")];
    for (let k = 0; k < h.length; k++) different += h[k] !== expected.hidden[i][k];
    for (let k = 0; k < o.length; k++) different += o[k] !== expected.output[i][k];
    total += h.length + o.length;
    classes += best(counts) === best(sum(rows(Array.from(expected.output[i], Number), CLASSES)));
    right += best(counts) === expected.labels[i];
  }
  return `${different} of ${total} spikes differ; ${classes} of ${expected.pixels.length} classes equal; ${right} right; drawing ${same ? "equal" : "different"}`;
}

try {
  const network = await load();
  const expected = await (await fetch(new URL("expected.json", base))).json();
  $("live-status").textContent = "";
  if (location.search === "?test") $("live-status").textContent = await test(network, expected);
  interact(network, expected);
} catch (error) {
  $("live-status").textContent = `The network could not be loaded (${error.message}). It needs a page served over HTTP, and a site built with npm.`;
}
