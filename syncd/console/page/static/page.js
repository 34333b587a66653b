"use strict";
// Shows the page anew every two seconds: what differs is taken from the page itself, which the server draws. Without this
// script the page says the same, as of when it was loaded.
(() => {
  const EVERY_MS = 2000;
  const PATIENCE_MS = 10000;
  const silence = document.getElementById("silence");
  let timer = 0;
  let answeredAt = new Date();

  const isInUse = (element) => {
    const chosen = window.getSelection();
    const selects = chosen !== null && !chosen.isCollapsed && chosen.containsNode(element, true);
    return selects || (element !== document.activeElement && element.contains(document.activeElement));
  };

  const take = (old, fresh) => {
    if (old.className !== fresh.className) old.className = fresh.className;
    if (old.innerHTML === fresh.innerHTML || isInUse(old)) return;
    const sentence = old.querySelector("[aria-live]");
    if (sentence === null) {
      old.replaceChildren(...fresh.childNodes);
      return;
    }
    // A screen reader reads what changes in an element that stays; so that one stays, and changes only with the news.
    const news = fresh.querySelector("[aria-live]");
    if (sentence.textContent !== news.textContent) sentence.textContent = news.textContent;
    for (const child of [...old.children]) if (child !== sentence) child.remove();
    for (const child of [...fresh.children]) {
      if (child !== news) (child.compareDocumentPosition(news) & Node.DOCUMENT_POSITION_FOLLOWING) ? sentence.before(child) : old.append(child);
    }
  };

  const refresh = async () => {
    try {
      const answer = await fetch("./", { cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE_MS) });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = fresh.title;
      for (const old of document.querySelectorAll("[data-live]")) {
        const now = fresh.getElementById(old.id);
        if (now !== null) take(old, now);
      }
      answeredAt = new Date();
      silence.textContent = "";
    } catch {
      const said = `syncd has not answered since ${answeredAt.toLocaleTimeString()}. Shown is what it said last.`;
      if (silence.textContent !== said) silence.textContent = said;
    }
    plan();
  };

  const plan = () => {
    window.clearTimeout(timer);
    if (!document.hidden) timer = window.setTimeout(refresh, EVERY_MS);
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? window.clearTimeout(timer) : refresh()));
  plan();
})();
