// What an operator may do: ask for the admin key once, confirm, send the command, and say what came of it.

const KEY = "anneal-admin-key"; // in sessionStorage: gone with the tab
const PATIENCE = 120_000; // ms until a command that nobody has taken up is said to wait

const byId = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function shown(dialog) {
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

function showForget() {
  byId("forget").hidden = !sessionStorage.getItem(KEY);
}

async function adminKey(why = "Promote, roll back, pause and retrain need an admin key.") {
  const kept = sessionStorage.getItem(KEY);
  if (kept) return kept;
  byId("key-text").textContent = why;
  byId("key").value = "";
  if (!(await shown(byId("ask-key")))) return null;
  const given = byId("key").value.trim();
  byId("key").value = "";
  if (given) sessionStorage.setItem(KEY, given);
  showForget();
  return given || null;
}

async function ask(path, key, body) {
  const options = { headers: { Authorization: `Bearer ${key}` }, cache: "no-store" };
  if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body) }), (options.headers["Content-Type"] = "application/json");
  const answer = await fetch(path, options);
  const value = await answer.json().catch(() => ({}));
  return { status: answer.status, value, words: value.error?.message ?? value.detail ?? `status ${answer.status}` };
}

// `say(tone, text)` writes into the task's status line; `question` is {title, text, yes} or null.
export async function act(task, action, name, question, say) {
  if (question) {
    byId("confirm-title").textContent = question.title;
    byId("confirm-text").textContent = question.text;
    byId("confirm-yes").textContent = question.yes;
    if (!(await shown(byId("confirm")))) return;
  }
  const key = await adminKey();
  if (!key) return;
  try {
    say("", `${name}: sending …`);
    const sent = await ask("/admin/commands", key, { task, action });
    if (sent.status === 401 || sent.status === 403) {
      sessionStorage.removeItem(KEY);
      showForget();
      return say("bad", `${name}: refused: this is not an admin key. Make one with “make key NAME=… ADMIN=1” and try again.`);
    }
    if (sent.status >= 400) return say("bad", `${name}: refused, ${sent.words}`);
    await follow(sent.value.id, key, name, say);
  } catch {
    say("bad", `${name}: the gateway did not answer; the outcome is unknown.`);
  }
}

async function follow(id, key, name, say) {
  const started = Date.now();
  for (;;) {
    const { status, value, words } = await ask(`/admin/commands/${encodeURIComponent(id)}`, key);
    if (status >= 400) return say("bad", `${name}: ${words}`);
    if (value.done_at && value.state !== "claimed") return say(value.state === "refused" ? "bad" : "good", `${name}: ${value.result || "done"}`);
    const waited = Date.now() - started;
    say("", waited < PATIENCE ? `${name}: requested, not done yet …` : `${name}: not started after two minutes. It is queued; check with “make ui” whether everything is running.`);
    if (waited > PATIENCE) return;
    await sleep(Math.min(3000, 500 + waited / 10));
  }
}

export function setUp() {
  showForget();
  // Not a submit button: Enter in the key's field would press the first of those.
  for (const button of document.querySelectorAll("[data-cancel]")) button.addEventListener("click", () => button.closest("dialog").close("no"));
  byId("forget").addEventListener("click", () => {
    sessionStorage.removeItem(KEY);
    showForget();
  });
}
