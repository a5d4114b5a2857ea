// Line charts over time as inline SVG. A chart is drawn again as a whole, in one go, so that nothing flickers.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 46, RIGHT = 8, TOP = 8, BOTTOM = 20;

export function element(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Round numbers up to at least `high`: the top of an axis and its step.
export function scale(low, high, steps = 3) {
  const raw = (high - low) / steps || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((found) => found >= raw * 0.999);
  return { low, high: low + step * Math.ceil((high - low) / step - 1e-6), step };
}

export function clock(at, length) {
  const moment = new Date(at * 1000);
  if (length > 2 * 86400) return moment.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return moment.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

// plot: {since, until, bucket, series: [{name, tone, thin, points: [[at, value]]}], low, high, step, show(value), tick(value), limits, marks, alarms}
// `limits` are [[at, value]] of a line that must not be crossed; `marks` are {at, name}; a series breaks where buckets are missing.
export function draw(figure, plot) {
  let svg = figure.querySelector("svg"), readout = figure.querySelector(".readout");
  if (!svg) {
    svg = element("svg", { tabindex: "0", role: "img" });
    readout = Object.assign(document.createElement("p"), { className: "readout" });
    figure.append(svg, readout);
    listen(figure, svg, readout);
  }
  figure.plot = plot;
  const width = svg.clientWidth || 320, height = svg.clientHeight || 150;
  const x = (at) => LEFT + ((at - plot.since) / (plot.until - plot.since)) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (Math.min(Math.max(value, plot.low), plot.high) - plot.low) / (plot.high - plot.low)) * (height - TOP - BOTTOM);
  Object.assign(plot, { x, y, width, height });
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-label", `${figure.querySelector("h3").firstChild.textContent.trim()}: ${spoken(plot)}`);
  svg.replaceChildren(...axes(plot), ...(plot.marks ?? []).flatMap((mark) => markLine(plot, mark)), ...plot.series.flatMap((one) => line(plot, one)), ...limit(plot), ...alarms(plot));
  if (figure.cursor == null) readout.replaceChildren();
  else point(figure, svg, readout, figure.cursor);
}

function spoken(plot) {
  const last = plot.series.filter((one) => one.points.length).map((one) => `${one.name} ${plot.show(one.points.at(-1)[1])}`);
  return last.length ? `newest ${last.join(", ")}` : "no figures";
}

function axes({ x, y, low, high, step, tick, since, until, width, height }) {
  const made = [];
  for (let value = low; value <= high + step / 100; value += step) {
    made.push(element("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
    made.push(element("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, tick(value)));
  }
  const count = width > 520 ? 6 : 3;
  for (let i = 0; i <= count; i++) {
    const at = since + ((until - since) * i) / count;
    const anchor = i === 0 ? "start" : i === count ? "end" : "middle";
    made.push(element("text", { x: x(at), y: height - 4, "text-anchor": anchor }, clock(at, until - since)));
  }
  return made;
}

function line({ x, y, bucket, steps }, { tone, thin, points }) {
  const made = [];
  let path = "", run = 0;
  points.forEach(([at, value], i) => {
    const joined = i > 0 && (steps || at - points[i - 1][0] <= bucket * 1.5);
    run = joined ? run + 1 : 1;
    path += `${joined ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    const next = points[i + 1];
    if (run === 1 && (!next || (!steps && next[0] - at > bucket * 1.5))) path += "h0.01"; // a point alone: its round cap is the dot
  });
  if (path) made.push(element("path", { class: `tone${tone}${thin ? " thin" : ""}`, d: path }));
  return made;
}

function limit({ x, y, limits, limitName, width }) {
  if (!limits?.length) return [];
  const points = [...limits, [null, limits.at(-1)[1]]];
  const path = points.map(([at, value], i) => `${i ? "L" : "M"}${at === null ? width - RIGHT : i ? x(at).toFixed(1) : LEFT} ${y(value).toFixed(1)}`).join("");
  return [element("path", { class: "limit", d: path }), element("text", { class: "limit", x: LEFT + 6, y: y(limits[0][1]) - 5 }, limitName)];
}

function alarms({ x, height, alarms: found }) {
  return (found ?? []).map((at) => element("path", { class: "alarm", d: `M${x(at)} ${height - BOTTOM}l-4 -7h8z` }, element("title", {}, "alarm")));
}

function markLine({ x, height }, { at, name }) {
  return [element("line", { class: "mark", x1: x(at), x2: x(at), y1: TOP, y2: height - BOTTOM }, element("title", {}, name))];
}

// The values under the pointer, or under the arrow keys, are written below the chart.
function listen(figure, svg, readout) {
  const move = (at) => point(figure, svg, readout, (figure.cursor = at));
  const clear = () => {
    figure.cursor = null;
    svg.querySelector(".cursor")?.remove();
    readout.replaceChildren();
  };
  svg.addEventListener("pointermove", (event) => {
    const { since, until, width } = figure.plot;
    move(since + ((event.offsetX - LEFT) / (width - LEFT - RIGHT)) * (until - since));
  });
  svg.addEventListener("pointerleave", clear);
  svg.addEventListener("blur", clear);
  svg.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const { since, until, bucket } = figure.plot;
    move(Math.min(until, Math.max(since, (figure.cursor ?? until) + by * bucket)));
  });
}

function point(figure, svg, readout, at) {
  const { series, x, bucket, show, height, since, until, marks } = figure.plot;
  const near = (points) => points.reduce((best, one) => (Math.abs(one[0] - at) < Math.abs((best?.[0] ?? -Infinity) - at) ? one : best), null);
  const found = series.map((one) => [one, near(one.points)]).filter(([, one]) => one && Math.abs(one[0] - at) <= bucket * 1.5);
  svg.querySelector(".cursor")?.remove();
  const moment = found.length ? near(found.map(([, one]) => one))[0] : at;
  if (moment < since || moment > until) return;
  svg.append(element("line", { class: "cursor", x1: x(moment), x2: x(moment), y1: TOP, y2: height - BOTTOM }));
  const words = (text) => Object.assign(document.createElement("span"), { textContent: text });
  const day = until - since > 86400 / 2 ? `${clock(moment, Infinity)} ` : "";
  const mark = (marks ?? []).find((one) => Math.abs(one.at - at) <= bucket);
  readout.replaceChildren(words(`${day}${clock(moment, 0)}`), ...found.map(([one, [, value]]) => words(`${one.name}: ${show(value)}`)), ...(mark ? [words(mark.name)] : []));
}
