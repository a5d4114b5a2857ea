// The page: asks for data.json every few seconds and brings what is shown up to date in place. Texts go in as text, never as HTML.

import { act, setUp } from "./actions.js";
import { charts } from "./plots.js";
import { age, alarms, make, notices, percent, reportLink, seconds, tone, verdict, when } from "./words.js";

const EVERY = { "1h": 4000, "24h": 10000, "30d": 30000 }; // ms
const SPAN = { "1h": "hour", "24h": "24 hours", "30d": "30 days" };
const byId = (id) => document.getElementById(id);
let timer, asked = 0, last = null;

async function refresh() {
  clearTimeout(timer);
  const window_ = document.querySelector("[name=window]:checked").value, mine = ++asked;
  try {
    const answer = await fetch(`/dashboard/data.json?window=${window_}`, { cache: "no-store", signal: AbortSignal.timeout(30000) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const data = await answer.json();
    if (mine === asked) show((last = data));
  } catch (error) {
    if (mine === asked) header([["bad", `The gateway does not answer (${error.message}).`, last ? `This page shows the state at ${when(last.at)}.` : "This page will fill when it does."]]);
  }
  if (mine === asked) timer = setTimeout(refresh, document.hidden ? 60000 : EVERY[window_]);
}

function header(found) {
  const worst = ["bad", "wait"].find((one) => found.some(([kind]) => kind === one)) ?? "good";
  byId("top").className = worst;
  byId("mark").textContent = { good: "✓", wait: "○", bad: "✗" }[worst];
  byId("headline").textContent = { good: "All is well", wait: "Something is in progress", bad: "Something needs attention" }[worst];
  document.title = `${{ good: "✓", wait: "○", bad: "✗" }[worst]} Anneal`;
  update(byId("notices"), found, () => found.map(([kind, what, why]) => make("li", { className: kind }, make("b", {}, what), ` ${why}`)));
}

function show(data) {
  header(notices(data));
  const names = Object.keys(data.tasks);
  byId("nothing").hidden = names.length > 0;
  byId("nothing").textContent = "Nothing is served yet: “make pipeline” trains, registers and deploys a first version, “make up” starts everything that serves and monitors it.";
  update(byId("where"), [data.servers, Math.round(data.at)], () => [
    `Updated ${when(data.at, true)} · routes revision ${data.revision} · `, make("a", { href: data.servers.mlflow }, "MLflow"), " · ", make("a", { href: data.servers.prefect }, "Prefect"), " · ", make("a", { href: "/metrics" }, "metrics"),
    ...(data.gateway.dropped != null ? [` · records dropped: ${data.gateway.dropped}`] : []), ...(data.gateway.waiting != null ? [` · requests waiting: ${data.gateway.waiting}`] : []),
  ]);
  for (const old of document.querySelectorAll(".task")) if (!names.includes(old.dataset.task)) old.remove();
  for (const name of names) task(section(name), name, data.tasks[name], data);
}

function section(name) {
  const found = document.querySelector(`.task[data-task="${CSS.escape(name)}"]`);
  if (found) return found;
  const made = byId("task").content.cloneNode(true).firstElementChild;
  made.dataset.task = name;
  made.querySelector("h2").textContent = name;
  byId("tasks").append(made);
  made.querySelector(".buttons").addEventListener("click", (event) => press(made, name, event.target.closest("button")));
  return made;
}

// Replaces the children of `owner` only when what they are made from has changed: focus, selection and scroll stay.
function update(owner, value, children) {
  const seen = JSON.stringify(value);
  if (owner.seen === seen) return;
  owner.seen = seen;
  owner.replaceChildren(...children());
}

const isOpen = (value) => value.canary !== "off" && !!value.targets.challenger;
const versionOf = (value, alias) => value.targets[alias]?.version;

function task(owner, name, value, data) {
  owner.value = value;
  const part = (selector) => owner.querySelector(selector), tones = tone(value);
  const [champion, challenger, previous] = ["champion", "challenger", "previous"].map((alias) => versionOf(value, alias));
  part(".lead").textContent = sentence(value, champion, challenger);
  const share = value.canary === "share" ? value.share : 0;
  const parts = [[champion, 1 - share], [challenger, share]].filter(([version, size]) => version && size > 0);
  part(".split").setAttribute("aria-label", parts.map(([version, size]) => `version ${version} gets ${percent(size)} of the requests`).join(", ") || "no version answers");
  update(part(".split"), [parts, tones], () => parts.map(([version]) => make("i", { className: `tone${tones[version]}` })));
  [...part(".split").children].forEach((one, i) => one.style.setProperty("flex-grow", parts[i][1]));
  update(part(".versions"), [value.targets, Object.keys(value.traffic ?? {}), tones], () => versions(value, tones));
  for (const [action, words, off] of [
    ["promote", challenger ? `Promote version ${challenger}\u00a0…` : "Promote\u00a0…", !challenger && "There is no @challenger."],
    ["rollback", isOpen(value) ? `Withdraw version ${challenger}\u00a0…` : previous ? `Roll back to version ${previous}\u00a0…` : "Roll back\u00a0…", !previous && !isOpen(value) && "There is no @previous."],
  ]) Object.assign(part(`[data-action=${action}]`), { textContent: words, disabled: !!off || owner.busy === action, title: off || "" });
  const pause = part("[data-action=pause],[data-action=resume]");
  Object.assign(pause, { textContent: value.paused ? "Resume retraining" : "Pause retraining" }).dataset.action = value.paused ? "resume" : "pause";
  alarm(part(".alarm"), value);
  const some = value.totals?.requests > 0;
  part(".empty.traffic").hidden = some || !!data.problem;
  part(".empty.traffic").textContent = `No requests in the last ${SPAN[data.window]}: make a key with “make key NAME=me” and send a text to POST /tasks/${name}.`;
  part(".tiles").hidden = !some;
  if (some) update(part(".tiles"), [value.totals, data.window], () => tiles(value, data));
  part(".plots").hidden = part(".pair").hidden = !!data.problem;
  if (data.problem) return;
  charts(owner, value, data, tones);
  update(part(".decisions"), value.decisions, () => entries(value.decisions, decision, `Nothing has been decided yet: the gate, the canary and retraining record here what they decide, and why. “make retrain MODEL=${name}” decides now.`));
  update(part(".retrainings"), value.retrainings, () => entries(value.retrainings, retraining, "None yet: drift, new labelled feedback or “Retrain now” starts one."));
  part(".asked").hidden = !value.commands.length;
  update(part(".commands"), value.commands, () => value.commands.map(command));
}

function sentence(value, champion, challenger) {
  if (!champion) return "No version is served: “make pipeline” makes the first.";
  const paused = value.paused ? " Retraining is paused." : "";
  if (value.canary === "off" || !challenger) return `Version ${champion} answers every request.${paused}`;
  const kind = value.canary === "share" ? `version ${challenger} gets ${percent(value.share)} of the requests` : `version ${challenger} gets a copy of each`;
  const so_far = value.canary_answers != null ? `: ${value.canary_answers} of ${value.canary_requests} answers` : "";
  return `Version ${champion} answers; ${kind}, since ${when(value.canary_since)}${so_far}.${paused}`;
}

function versions(value, tones) {
  const aliases = {};
  for (const [alias, target] of Object.entries(value.targets)) (aliases[target.version] ??= []).push(`@${alias}`);
  return Object.keys(tones).map((version) => {
    const artifact = Object.values(value.targets).find((target) => target.version === version)?.artifact;
    return make("li", { title: artifact ? `artifact ${artifact}…` : "" }, make("i", { className: `swatch tone${tones[version]}` }), version ? `version ${version} ` : "without a version ", make("small", {}, (aliases[version] ?? ["no longer served"]).join(" ")));
  });
}

function alarm(owner, value) {
  const check = value.check;
  owner.hidden = !alarms(value);
  if (alarms(value)) update(owner, [check.at, check.reasons], () => [
    make("b", {}, `The monitor alarms: the traffic of version ${check.version ?? "?"} no longer matches its training.`),
    make("ul", {}, ...check.reasons.map((reason) => make("li", {}, reason))),
    ...(check.report ? [reportLink(check)] : []),
  ]);
}

function tiles({ totals, agreement }, data) {
  const words = [0, 0];
  for (const points of Object.values(agreement)) for (const point of points) (words[0] += point.agreed), (words[1] += point.judged);
  const failed = totals.failed / totals.requests;
  return [
    ["", (totals.requests - totals.copies).toLocaleString("en-GB"), `requests in the last ${SPAN[data.window]}`],
    ["", `${seconds(totals.p50)} / ${seconds(totals.p95)}`, "latency, median / 95 %"],
    [failed > 0.01 ? "bad" : "", percent(failed), `failed${totals.busy ? `; ${totals.busy} refused as too busy` : ""}`],
    ["", totals.asked ? percent(totals.valid / totals.asked) : "–", "valid answers"],
    ["", words[1] ? percent(words[0] / words[1]) : "–", words[1] ? `agreement, on ${words[1].toLocaleString("en-GB")} with feedback` : "agreement: no feedback yet"],
  ].map(([kind, figure, what]) => make("div", { className: kind }, make("b", {}, figure), make("span", {}, what)));
}

const entries = (rows, entry, none) => (rows.length ? rows.map(entry) : [make("li", { className: "empty" }, none)]);
const time = (at) => make("time", { dateTime: new Date(at * 1000).toISOString(), title: new Date(at * 1000).toString() }, when(at));

function decision({ kind, verdict: word, reasons, at, times, first }) {
  const again = times > 1 ? ` · ${times} times since ${when(first)}` : "";
  const [kindOf, words] = verdict(kind, word);
  return make("li", {}, make("span", { className: `chip ${kindOf}` }, words), time(at), make("small", {}, again), ...[reasons].flat().map((reason) => make("p", {}, String(reason))));
}

function retraining({ started_at, ended_at, outcome, reasons }) {
  const took = ended_at ? `took ${age(ended_at - started_at)}` : `running for ${age(Date.now() / 1000 - started_at)}`;
  return make("li", {}, make("b", {}, outcome || (ended_at ? "ended" : "running")), time(started_at), make("small", {}, ` · ${took}`), ...[reasons].flat().map((reason) => make("p", {}, String(reason))));
}

const command = ({ action, at, done_at, state, result }) => make("li", {}, make("span", { className: "chip" }, action), time(at), make("p", {}, done_at || state ? outcome(state, result) : "not started yet"));
const outcome = (state, result) => (state === "refused" ? `not done: ${result}` : result || "done");

function press(owner, name, button) {
  if (!button || button.disabled) return;
  const { action } = button.dataset, { value } = owner, [champion, challenger, previous] = ["champion", "challenger", "previous"].map((alias) => versionOf(value, alias));
  const questions = {
    promote: { title: `Promote version ${challenger} of ${name}?`, text: `Version ${challenger} answers every request from now on, version ${champion ?? "none"} becomes @previous.${isOpen(value) ? " Its canary ends without a verdict." : ""}`, yes: `Promote version ${challenger}` },
    rollback: isOpen(value) ? {
      title: `Withdraw the canary of ${name}?`, text: `Version ${challenger} gets no more requests; version ${champion} answers all of them.`, yes: `Withdraw version ${challenger}`,
    } : { title: `Roll ${name} back to version ${previous}?`, text: `Version ${previous} answers every request from now on; version ${champion ?? "none"} gets none.`, yes: `Roll back to version ${previous}` },
  };
  const say = (kind, text) => Object.assign(owner.querySelector(".outcome"), { hidden: false, className: `outcome ${kind}`, textContent: text });
  button.disabled = true;
  owner.busy = action; // a refresh meanwhile leaves the button as it is
  act(name, action, button.textContent.replace(/\s…$/, ""), questions[action] ?? null, say).finally(() => {
    button.disabled = false;
    owner.busy = null;
    refresh();
  });
}

setUp();
for (const choice of document.querySelectorAll("[name=window]")) {
  choice.checked ||= location.hash === `#${choice.value}`; // a link may name the hours that it is about
  choice.addEventListener("change", () => (history.replaceState(null, "", `#${choice.value}`), refresh()));
}
document.addEventListener("visibilitychange", () => document.hidden || refresh());
let resized;
addEventListener("resize", () => (clearTimeout(resized), (resized = setTimeout(() => last && show(last), 150))));
refresh();
