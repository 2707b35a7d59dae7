// Live updates, keys, forms and the log. Every page works without this file.
"use strict";
(() => {
  const main = /** @type {HTMLElement} */ (document.getElementById("main"));
  const banner = /** @type {HTMLElement} */ (document.getElementById("banner"));
  const liveMark = document.querySelector(".live");
  const BASE = (document.documentElement.dataset.base || "/").slice(0, -1);
  const REFRESH_MS = 1000;
  const POLL_MS = 10000;
  const SILENT_MS = 40000;
  const HIDDEN_MS = 30000;
  const SLEPT_MS = 5000;
  const KINDS = ["changes", "resync", "heartbeat"];

  // --- putting a new version of the page in place ------------------------------------------------

  /** Make *old* like *fresh*, and keep what the reader has done: focus, ticks, open menus, texts.
   * @param {Element} old @param {Element} fresh */
  function renew(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !(name === "open" && old.tagName === "DETAILS")) old.removeAttribute(name);
    }
    if (old.matches("input, select, textarea, [data-follow]")) return;
    renewChildren(old, fresh);
  }

  /** @param {Element} old @param {Element} fresh */
  function renewChildren(old, fresh) {
    const byId = new Map();
    for (const child of old.children) if (child.id) byId.set(child.id, child);
    let place = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      const same = wanted instanceof Element && wanted.id ? byId.get(wanted.id) : undefined;
      if (same) {
        if (same !== place) old.insertBefore(same, place);
        else place = same.nextSibling;
        renew(same, /** @type {Element} */ (wanted));
      } else if (place && alike(place, wanted)) {
        const next = place.nextSibling;
        if (place instanceof Element) renew(place, /** @type {Element} */ (wanted));
        else if (place.nodeValue !== wanted.nodeValue) place.nodeValue = wanted.nodeValue;
        place = next;
      } else {
        old.insertBefore(document.importNode(wanted, true), place);
      }
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  /** @param {Node} one @param {Node} other */
  function alike(one, other) {
    if (one.nodeType !== other.nodeType) return false;
    if (!(one instanceof Element)) return true;
    return one.tagName === /** @type {Element} */ (other).tagName && one.id === /** @type {Element} */ (other).id;
  }

  let isRefreshing = false;
  let isWanted = false;
  let lastRefresh = 0;
  let asking = new AbortController();
  let pace = REFRESH_MS; // a page that takes long is asked for less often

  /** Fetch this page again, and put it in place; at most once a second. */
  async function refresh() {
    if (location.pathname.startsWith(`${BASE}/act/`)) return void say(""); // the answer to a form
    if (isRefreshing || document.hidden) return void (isWanted = true);
    const wait = lastRefresh + pace - Date.now();
    isRefreshing = true;
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    isWanted = false;
    lastRefresh = Date.now();
    asking = new AbortController();
    const limit = setTimeout(() => asking.abort(), POLL_MS);
    try {
      const answer = await fetch(location.href, { headers: { "Luad-Part": "1", Accept: "text/html" }, signal: asking.signal });
      if (answer.redirected && new URL(answer.url).pathname === `${BASE}/login`) return location.assign(answer.url);
      isWanted ||= answer.status === 503; // too many ask at once
      pace = Math.max(REFRESH_MS, 5 * (Date.now() - lastRefresh)) * (answer.status === 503 ? 1 + Math.random() : 1);
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      put(await answer.text());
      lastGood = Date.now();
      say("");
    } catch {
      if (!isWanted || Date.now() - lastGood > POLL_MS) sayStale();
    } finally {
      clearTimeout(limit);
      isRefreshing = false;
    }
    if (isWanted) refresh();
  }

  /** @param {string} text */
  function put(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const content = fresh.getElementById("main");
    if (content && !main.querySelector("textarea:focus, input:not([type=checkbox]):focus") && !tellNews(content)) renew(main, content);
    mark();
    document.title = fresh.title;
    setIcon(fresh.querySelector("link[rel=icon]")?.getAttribute("href") || "");
  }

  /** Say how many rows are new instead of moving those that are read. @param {Element} fresh */
  function tellNews(fresh) {
    const pill = main.querySelector("[data-news]");
    const rows = [...fresh.querySelectorAll("tbody tr[id]")].map((each) => [document.getElementById(each.id), each]);
    const count = rows.filter(([old]) => !old).length;
    if (!(pill instanceof HTMLElement) || !count) return false;
    for (const [old, each] of rows) if (old && each) renew(old, each);
    Object.assign(pill, { textContent: `${count} new`, hidden: false });
    return true;
  }

  /** @param {string} address */
  function setIcon(address) {
    const link = document.querySelector("link[rel=icon]");
    if (link && address && link.getAttribute("href") !== address) link.setAttribute("href", address);
  }

  /** @param {string} text */
  function say(text) {
    if (banner.textContent !== text) banner.textContent = text;
    banner.hidden = !text;
    document.body.toggleAttribute("data-stale", Boolean(text));
    for (const button of main.querySelectorAll("button")) button.toggleAttribute("disabled", Boolean(text));
    if (!(liveMark instanceof HTMLElement)) return;
    liveMark.textContent = isLive ? "live" : `every ${POLL_MS / 1000} s`;
    liveMark.hidden = Boolean(text);
  }

  function sayStale() {
    const at = new Date(lastGood).toLocaleTimeString();
    say(`No answer from luad: this page shows the data of ${at}.`);
    setIcon(document.body.dataset.offline || "");
  }

  // --- one stream of events a browser ------------------------------------------------------------

  /** @type {EventSource | null} */
  let source = null;
  let isLive = false;
  let lastGood = Date.now();
  let hasHeartbeat = false;
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("luad-events") : null;

  /** @param {string} kind */
  function notice(kind) {
    isLive = kind !== "full";
    if (!isLive) return void refresh(); // no stream is free: ask now and then
    lastGood = Date.now();
    hasHeartbeat ||= kind === "heartbeat";
    if (kind === "heartbeat" && banner.hidden) say("");
    else refresh();
  }

  function openStream() {
    if (source) return;
    source = new EventSource(`${BASE}/v1/events?every=500ms`);
    const pass = (/** @type {string} */ kind) => {
      notice(kind);
      channel?.postMessage(kind);
    };
    source.onopen = () => pass("open");
    for (const kind of KINDS) source.addEventListener(kind, () => pass(kind));
    source.onerror = () => {
      if (source?.readyState === EventSource.CLOSED) return pass("full");
      isLive = false;
      sayStale();
    };
  }

  /** Ask anew after a sleep, or when the network is back: the connection may be dead without a sign. */
  function wake() {
    if (source) closeStream(), openStream();
    sayStale();
    asking.abort(); // it may wait for a connection that is gone
    refresh();
  }

  function closeStream() {
    source?.close();
    source = null;
  }

  if (channel) channel.onmessage = (event) => notice(String(event.data));

  /** The tab that holds the lock has the stream; the others hear of it. */
  function share() {
    if (!navigator.locks || !channel) return void (document.hidden || openStream());
    navigator.locks.request("luad-stream", () => {
      openStream();
      return new Promise(() => {}); // held until the tab goes
    });
  }

  let hiddenTimer = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (!document.hidden) {
      if (!navigator.locks || !channel) openStream();
      refresh();
    } else if (!navigator.locks || !channel) {
      hiddenTimer = setTimeout(closeStream, HIDDEN_MS);
    }
  });
  addEventListener("online", wake);
  addEventListener("offline", sayStale);
  setInterval(() => {
    if (hasHeartbeat && Date.now() - lastGood > SILENT_MS) sayStale();
    if (source?.readyState === EventSource.CLOSED) closeStream(), openStream();
    if (!isLive) refresh();
  }, POLL_MS);

  // --- times that tick ----------------------------------------------------------------------------

  const skew = Date.parse(main.dataset.now || "") - Date.now() || 0;
  let lastTick = Date.now();
  setInterval(() => {
    const slept = Date.now() - lastTick;
    lastTick = Date.now();
    if (document.hidden) return;
    if (slept > SLEPT_MS) wake();
    const now = lastTick + skew;
    for (const each of main.querySelectorAll("time[data-relative]")) {
      const seconds = (Date.parse(each.getAttribute("datetime") || "") - now) / 1000;
      const words = seconds >= 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
      if (each.textContent !== words) each.textContent = words;
    }
  }, 1000);

  /** @param {number} seconds */
  function span(seconds) {
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min${whole < 600 && whole % 60 ? ` ${whole % 60} s` : ""}`;
    const hours = Math.floor(whole / 3600);
    if (hours < 24) return `${hours} h${whole % 3600 >= 60 ? ` ${Math.floor((whole % 3600) / 60)} min` : ""}`;
    return `${Math.floor(hours / 24)} d${hours % 24 ? ` ${hours % 24} h` : ""}`;
  }

  // --- the zone of this browser -------------------------------------------------------------------

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!document.cookie.includes("luad-zone=") && zone && zone !== document.body.dataset.zone) {
    document.cookie = `luad-zone=${zone}; path=/; max-age=31536000; samesite=lax`;
    refresh();
  }

  // --- forms --------------------------------------------------------------------------------------

  document.addEventListener("change", (event) => {
    const box = event.target;
    if (!(box instanceof HTMLInputElement)) return;
    if (box.matches("[data-tick-all]")) for (const each of ticks()) each.checked = box.checked;
    if (box.dataset.remember) localStorage.setItem(`luad-${box.dataset.remember}`, box.checked ? "on" : "off");
    const label = main.querySelector("[data-selected]");
    if (label) label.textContent = `${ticks().filter((each) => each.checked).length} selected`;
  });
  for (const box of main.querySelectorAll("[data-remember]")) {
    if (box instanceof HTMLInputElement) box.checked = localStorage.getItem(`luad-${box.dataset.remember}`) !== "off";
  }
  document.addEventListener("submit", (event) => {
    const path = event.submitter?.getAttribute("formaction") || "";
    const form = event.target;
    if (path !== `${BASE}/act/cancel` || !(form instanceof HTMLFormElement)) return;
    if (!form.querySelector("input[name=run][type=hidden]")) return; // luad asks on a page of its own
    if (!confirm("Stop this run?")) return event.preventDefault();
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "sure", value: "1" }));
  });
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!(field instanceof HTMLTextAreaElement) || !field.matches("[data-json]")) return;
    const note = document.getElementById("json-error");
    let wrong = "";
    try {
      const value = JSON.parse(field.value || "{}");
      if (typeof value !== "object" || value === null || Array.isArray(value)) wrong = "This must be a JSON object.";
    } catch (error) {
      wrong = error instanceof Error ? error.message : "This is not JSON.";
    }
    field.setAttribute("aria-invalid", String(Boolean(wrong)));
    if (note) Object.assign(note, { textContent: wrong, hidden: !wrong });
  });

  /** @returns {HTMLInputElement[]} */
  function ticks() {
    return /** @type {any} */ ([...main.querySelectorAll("tbody input[type=checkbox]")]);
  }

  // --- keys ---------------------------------------------------------------------------------------

  const PLACES = { o: "/", j: "/jobs", r: "/runs", s: "/schedule", u: "/users", a: "/activity", y: "/system" };
  let row = -1;
  let isGoing = false;

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (event.key === "Escape") {
      if (target instanceof HTMLElement) target.blur();
      for (const menu of document.querySelectorAll("details.menu[open]")) menu.removeAttribute("open");
      return;
    }
    if (target.matches("input:not([type=checkbox]), select, textarea")) return;
    if (localStorage.getItem("luad-keys") === "off") return;
    if (press(event.key)) event.preventDefault();
  });

  /** @param {string} key @returns {boolean} whether the key means something */
  function press(key) {
    if (isGoing) {
      isGoing = false;
      const place = PLACES[/** @type {keyof typeof PLACES} */ (key)];
      if (place) location.assign(BASE + place);
      return Boolean(place);
    }
    switch (key) {
      case "g": isGoing = true; setTimeout(() => { isGoing = false; }, 1500); return true;
      case "?": location.assign(`${BASE}/help`); return true;
      case "/": focusOn(document.querySelector(".search input")); return true;
      case "j": return step(1);
      case "k": return step(-1);
      case "f": location.assign(`${BASE}/jobs?health=failing`); return true;
      case "d": document.dispatchEvent(new Event("luad-theme")); return true;
      case "t": focusOn(document.querySelector(".zone summary")); return true;
      case "l": return click(".attention a[href$='#log'], a[href$='#log']") || toLog();
      case "r": return click("[formaction$='/act/run']");
      case "p": return click("[formaction$='/act/pause'], [formaction$='/act/resume']");
      case "n": return toHit();
      case "x": return click("input[type=checkbox]");
      default: return false;
    }
  }

  /** @returns {HTMLElement[]} */
  function rows() {
    return /** @type {any} */ ([...main.querySelectorAll(".attention li, tbody tr")]);
  }

  /** @param {number} by */
  function step(by) {
    const all = rows();
    if (!all.length) return false;
    row = Math.max(0, Math.min(all.length - 1, row + by));
    focusOn(all[row].querySelector("a"));
    return true;
  }

  /** Click what *selector* finds in the row that has the focus, or in the first row that has one.
   * @param {string} selector */
  function click(selector) {
    const focused = document.activeElement?.closest("tr, li");
    const found = (focused && main.contains(focused) ? focused : main).querySelector(selector);
    if (found instanceof HTMLElement) found.click();
    return Boolean(found);
  }

  function toLog() {
    const log = document.querySelector(".log");
    log?.scrollIntoView();
    focusOn(log);
    return Boolean(log);
  }

  /** @param {Element | null} element */
  function focusOn(element) {
    if (element instanceof HTMLElement) element.focus();
  }

  // --- the log of a run that goes on ---------------------------------------------------------------

  const log = document.querySelector(".log[data-follow]");
  if (log instanceof HTMLElement) follow(log);
  if (location.hash === "#log") toLog();

  /** Add lines as they come; stay at the end only while the reader is there.
   * @param {HTMLElement} box */
  function follow(box) {
    let [number, unread] = [Number(box.dataset.follow), 0];
    const stream = new EventSource(`${BASE}/v1/runs/${box.dataset.log}/log?follow=1&format=sse&offset=${number}`);
    stream.onmessage = (event) => {
      const line = JSON.parse(event.data);
      const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
      box.append(lineOf(++number, line));
      while (box.children.length > 2000) box.firstElementChild?.remove();
      if (isAtEnd) box.scrollTop = box.scrollHeight;
      unread = isAtEnd ? 0 : unread + 1;
      const state = document.querySelector("[data-log-state]")?.lastChild;
      if (state) state.textContent = unread ? `${unread} new below` : "following";
    };
    stream.addEventListener("end", () => {
      stream.close();
      delete box.dataset.follow;
      refresh();
    });
    document.addEventListener("visibilitychange", () => document.hidden && stream.close(), { once: true });
    box.scrollTop = box.scrollHeight;
  }

  /** @param {number} number @param {{ts?: string, level?: string, message?: string}} line */
  function lineOf(number, line) {
    const element = document.createElement("div");
    element.id = `L${number}`;
    if (line.level) element.className = line.level;
    const at = line.ts ? new Date(line.ts).toLocaleTimeString() : "";
    for (const [kind, text] of [["no", String(number)], ["at", at], ["lv", line.level || ""], ["tx", line.message || ""]]) {
      const part = document.createElement("span");
      part.className = kind;
      paint(part, text);
      element.append(part);
    }
    return element;
  }

  const COLOURS = ["", "red", "green", "yellow", "blue", "magenta", "cyan", ""];

  /** Put *text* into *element*; colours of a terminal become classes.
   * @param {Element} element @param {string} text */
  function paint(element, text) {
    let names = "";
    for (const [number, piece] of text.split(/\u001b\[([0-9;]{0,40})m/).entries()) {
      if (number % 2) {
        const codes = (piece || "0").split(";").map(Number);
        const colour = codes.find((code) => (code >= 30 && code < 38) || (code >= 90 && code < 98));
        names = [codes.includes(1) ? "a-bold" : "", colour ? `a-${COLOURS[colour % 10]}` : ""].join(" ").trim();
      } else if (piece) {
        const part = document.createElement("span");
        part.className = names;
        part.textContent = visible(piece);
        element.append(names ? part : visible(piece));
      }
    }
  }

  /** Mark the lines that match the pattern of the address. It runs here, never in luad. */
  function mark() {
    const box = document.querySelector(".log[data-pattern]");
    const note = document.querySelector("[data-found]");
    if (!(box instanceof HTMLElement) || !note) return;
    const until = performance.now() + 300;
    let [hits, seen] = [0, 0];
    try {
      const wanted = new RegExp(box.dataset.pattern || "", "iu");
      for (const line of box.querySelectorAll("div[id]")) {
        if (performance.now() > until) break;
        const isHit = wanted.test((line.querySelector(".tx")?.textContent || "").slice(0, 2000));
        line.classList.toggle("hit", isHit);
        seen += 1;
        hits += Number(isHit);
      }
      note.textContent = `${hits} of ${seen} lines match`;
    } catch {
      note.textContent = "This is not a regular expression.";
    }
  }

  /** Go to the next line that matches. */
  function toHit() {
    const hits = [...document.querySelectorAll(".log .hit")];
    const at = hits.findIndex((each) => each.id === location.hash.slice(1));
    if (hits.length) location.hash = hits[(at + 1) % hits.length].id;
    return hits.length > 0;
  }

  /** Copy a link to the run, or to the line whose number was clicked. */
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const link = target?.closest("a[data-copy]");
    if (link instanceof HTMLAnchorElement && navigator.clipboard) {
      event.preventDefault();
      return void navigator.clipboard.writeText(link.href).then(
        () => { link.textContent = "Copied"; }, () => location.assign(link.href));
    }
    const line = target?.matches(".log .no") ? target.parentElement : null;
    if (!line) return;
    location.hash = line.id;
    const address = new URL(location.pathname, location.href);
    address.searchParams.set("before", String(Number(line.id.slice(1)) + 250));
    address.hash = line.id;
    navigator.clipboard?.writeText(address.href).then(() => undefined, () => undefined);
  });

  /** Show control and bidirectional characters instead of obeying them.
   * @param {string} text */
  function visible(text) {
    return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, (char) =>
      `[U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
  }

  mark();
  share();
})();
