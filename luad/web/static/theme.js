// The theme, before the page is drawn: the system's, or the one that was chosen in this browser.
"use strict";
(() => {
  const root = document.documentElement;
  const chosen = localStorage.getItem("luad-theme");
  if (chosen) root.dataset.theme = chosen;
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (target && target.closest("[data-theme-button]")) toggle();
  });
  document.addEventListener("luad-theme", toggle);
  function toggle() {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const next = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    root.dataset.theme = next;
    localStorage.setItem("luad-theme", next);
  }
})();
