// Follows what happens: asks for this page's live parts once a second, and
// swaps those that changed. Works only with what the server rendered; without
// this script a reload does the same.
"use strict";
(() => {
  const PERIOD = 1000;
  const follow = document.getElementById("follow");
  const announce = document.getElementById("announce");
  let etag = "", paused = false, failing = 0, announcedAt = 0;

  const url = new URL(location.href);
  url.hash = "";
  url.searchParams.set("live", "1");

  const button = document.createElement("button");
  button.type = "button";
  const state = document.createElement("span");
  if (follow) follow.append(state, " ", button);

  function show() {
    button.textContent = paused ? "Resume" : "Pause";
    state.textContent = paused ? "paused" : failing > 2 ? "not reached" : "live";
    state.className = paused ? "badge" : failing > 2 ? "badge bad" : "badge good";
  }
  function toggle() {
    paused = !paused;
    show();
  }
  button.addEventListener("click", toggle);

  // busy says whether somebody is reading a part with the mouse: it waits.
  function busy(part) {
    const sel = document.getSelection();
    return sel && !sel.isCollapsed && part.contains(sel.anchorNode);
  }

  function keys(part) {
    return new Set(Array.from(part.querySelectorAll("tr[data-key]"), r => r.dataset.key));
  }

  function swap(text) {
    const doc = new DOMParser().parseFromString(text, "text/html");
    let fresh = 0, waiting = false;
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = doc.getElementById(old.id);
      if (!now || now.outerHTML === old.dataset.was) continue;
      const was = now.outerHTML;
      if (busy(old)) { waiting = true; continue; }
      const part = document.importNode(now, true);
      const known = keys(old);
      for (const r of part.querySelectorAll("tr[data-key]")) {
        if (!known.has(r.dataset.key)) {
          r.classList.add("fresh");
          if (old.id === "newest" || old.id === "contacts") fresh++;
        }
      }
      // What had the focus, or was scrolled, stays so.
      const links = "a[href], button, .scroll";
      const focused = old.contains(document.activeElement) ? Array.from(old.querySelectorAll(links)).indexOf(document.activeElement) : -1;
      const scrolls = Array.from(old.querySelectorAll(".scroll"), e => e.scrollLeft);
      part.dataset.was = was;
      old.replaceWith(part);
      part.querySelectorAll(".scroll").forEach((e, i) => { e.scrollLeft = scrolls[i] || 0; });
      if (focused >= 0) {
        const f = part.querySelectorAll(links)[focused];
        if (f) f.focus({ preventScroll: true });
      }
    }
    // Spoken at most every ten seconds, so that a screen reader is not drowned.
    if (fresh > 0 && announce && Date.now() - announcedAt > 10000) {
      announcedAt = Date.now();
      announce.textContent = fresh === 1 ? "1 new contact" : fresh + " new contacts";
    }
    return !waiting;
  }

  async function poll() {
    if (!paused && !document.hidden) {
      try {
        const r = await fetch(url, {
          cache: "no-store",
          headers: etag ? { "If-None-Match": etag } : {},
          signal: AbortSignal.timeout(8000),
        });
        if (r.ok) {
          const text = await r.text();
          etag = swap(text) ? r.headers.get("ETag") || "" : "";
        } else if (r.status === 401) {
          location.reload(); // the login has ended: its page says so
          return;
        } else if (r.status !== 304) {
          throw new Error("status " + r.status);
        }
        if (failing) { failing = 0; show(); }
      } catch {
        failing++;
        show();
      }
    }
    setTimeout(poll, failing > 2 ? 5 * PERIOD : PERIOD);
  }

  let prefix = false;
  const places = { o: "/", c: "/cases", n: "/contacts", r: "/orders", w: "/watch", l: "/log" };
  document.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest('input:not([type="checkbox"]), select, textarea')) return;
    if (prefix && places[e.key]) location.href = places[e.key];
    prefix = e.key === "g";
    if (e.key === "p") toggle();
    // Row by row: j and k go on and back, x ticks.
    const rows = Array.from(document.querySelectorAll('.triage input[type="checkbox"]'));
    const here = rows.indexOf(document.activeElement);
    if (rows.length && (e.key === "j" || e.key === "k")) {
      rows[Math.min(Math.max(here + (e.key === "j" ? 1 : -1), 0), rows.length - 1)].focus();
    }
    if (here >= 0 && e.key === "x") rows[here].click();
    if (e.key === "?") location.href = "/about";
    if (e.key === "/") {
      const f = document.querySelector(".filters input, .filters select");
      if (f) { e.preventDefault(); f.focus(); }
    }
  });
  // A filter form leaves out what is empty, so that its address stays short.
  for (const f of document.querySelectorAll("form.filters")) {
    f.addEventListener("submit", () => {
      for (const i of f.elements) if (i.name && !i.value) i.disabled = true;
    });
    addEventListener("pageshow", () => { for (const i of f.elements) i.disabled = false; });
  }

  if (document.querySelector("[data-live]")) {
    show();
    setTimeout(poll, PERIOD);
  }
})();
