// The sync button: starts a sync, follows it, says how it ended and shows the new list. Pages work without this file.
"use strict";

(() => {
  const POLL_MS = 1000;
  const RETRIES = 5;
  const KEPT = "hunter-sync-run";
  const button = document.getElementById("sync");
  const progress = document.getElementById("sync-progress");
  const csrf = document.querySelector('meta[name="csrf-token"]').content;

  const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

  function toast(kind, text) {
    const box = document.createElement("div");
    box.className = `toast ${kind}`;
    box.setAttribute("role", kind === "success" ? "status" : "alert");
    const words = document.createElement("p");
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "×";
    close.setAttribute("aria-label", "Dismiss");
    close.addEventListener("click", () => box.remove());
    box.append(words, close);
    document.getElementById("toasts").append(box);
    // A live region is read out when its text changes, not when it appears with it.
    words.textContent = text;
    if (kind === "success") setTimeout(() => box.remove(), 15000);
  }

  async function ask(url, options = {}) {
    const response = await fetch(url, { ...options, headers: { Accept: "application/json", ...options.headers } });
    let body = {};
    try {
      body = await response.json();
    } catch {
      // An answer that is not ours, of a proxy perhaps: the status has to do.
    }
    if (response.status === 401) throw new Error("You are signed out; load the page again to sign in");
    return { status: response.status, body };
  }

  function reason(answer) {
    return typeof answer.body.detail === "string" ? answer.body.detail : `The server answered ${answer.status}`;
  }

  const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

  function counts(sync) {
    if (!sync.total) return "nothing new since the last one";
    const parts = [`${counted(sync.total, "referral")} fetched`, `${sync.succeeded} with a company domain`];
    if (sync.skipped) parts.push(`${sync.skipped} without one`);
    if (sync.failed) parts.push(`${sync.failed} failed${sync.failed_before ? ` (${sync.failed_before} known before)` : ""}`);
    return parts.join(", ");
  }

  function show(text) {
    progress.textContent = text;
  }

  function busy(on) {
    button.setAttribute("aria-disabled", String(on));
    button.textContent = on ? "Syncing…" : "Sync now";
    if (!on) show("");
  }

  // Times are served in UTC; a tooltip tells them in the clock of whoever looks, with its zone.
  function localTimes() {
    const form = new Intl.DateTimeFormat(undefined, {
      year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
    });
    for (const time of document.querySelectorAll("time[datetime]")) time.title = form.format(new Date(time.dateTime));
  }

  async function refresh() {
    const list = document.querySelector("#live .list");
    list.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("live");
      const typing = document.activeElement?.closest(".filters");
      if (response.ok && fresh && !typing) document.getElementById("live").replaceWith(fresh);
      localTimes();
    } finally {
      document.querySelector("#live .list").setAttribute("aria-busy", "false");
    }
  }

  async function follow(runId) {
    sessionStorage.setItem(KEPT, runId);
    let lost = 0;
    for (;;) {
      let answer;
      try {
        answer = await ask(`/api/referrals/sync/${encodeURIComponent(runId)}`);
      } catch (error) {
        answer = { status: 0, body: { detail: error.message } };
      }
      if (answer.status === 200) {
        lost = 0;
        const sync = answer.body;
        if (sync.status === "queued") show("Waiting for Dagster to start it…");
        else if (sync.status === "running") show(sync.total ? `${counted(sync.total, "referral")} so far…` : "Running…");
        else return sync;
      } else if (answer.status === 404 || ++lost > RETRIES) {
        throw new Error(reason(answer));
      }
      await wait(POLL_MS);
    }
  }

  async function finish(runId) {
    const sync = await follow(runId);
    if (sync.status === "success") toast("success", `Sync done: ${counts(sync)}.`);
    else if (sync.status === "partial") toast("partial", `Sync done in part: ${counts(sync)}. ${sync.errors[0] ?? ""}`);
    else toast("failed", `Sync failed: ${sync.errors.join("; ")}`);
    await refresh();
  }

  async function run(work) {
    if (button.getAttribute("aria-disabled") === "true") return;
    busy(true);
    try {
      await work();
    } catch (error) {
      toast("failed", `Sync failed: ${error.message}`);
    } finally {
      sessionStorage.removeItem(KEPT);
      busy(false);
    }
  }

  async function start() {
    show("Starting…");
    const answer = await ask("/api/referrals/sync", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: JSON.stringify({ force: false }),
    });
    if (answer.status === 409 && answer.body.run_id) show("A sync is under way already…");
    else if (answer.status !== 200 && answer.status !== 202) throw new Error(reason(answer));
    await finish(answer.body.run_id);
  }

  localTimes();
  if (button) {
    button.addEventListener("click", () => run(start));
    const kept = sessionStorage.getItem(KEPT);
    if (kept) run(() => finish(kept));
  }
  document.addEventListener("submit", (event) => {
    if (event.target.matches(".filters")) document.querySelector("#live .list")?.setAttribute("aria-busy", "true");
  });
  // The list stays marked as loading when the browser brings the page back from its cache.
  addEventListener("pageshow", () => document.querySelector("#live .list")?.setAttribute("aria-busy", "false"));
})();
