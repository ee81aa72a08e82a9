// The front end of the e-mail service.
//
// The tokens of a session are in cookies that scripts cannot read. So this script knows that an
// access token has expired only when an answer is 401. It refreshes the session then, and sends the
// request again. A 401 after that means that the session has ended. Nothing else does: at 429 and
// 503 the script waits for as long as Retry-After says.
"use strict";

const API = document.querySelector('meta[name="api-origin"]').content;
const SECONDS_WITHOUT_RETRY_AFTER = 5;
const MOST_RETRIES_OF_REFRESH = 5;

class SessionEnded extends Error {}

// --- Requests ------------------------------------------------------------------------------------

// Send one request, with the cookies of the session.
async function send(method, path, body) {
  const options = { method, credentials: "include", cache: "no-store" };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  try {
    return await fetch(API + path, options);
  } catch {
    throw new Error("The service cannot be reached.");
  }
}

function isBusy(response) {
  return response.status === 429 || response.status === 503;
}

function secondsToWait(response) {
  return Number(response.headers.get("Retry-After")) || SECONDS_WITHOUT_RETRY_AFTER;
}

async function wait(seconds) {
  showMessage(`The service asks to wait for ${seconds} seconds.`);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  showMessage("");
}

// Send a request, and send it again after the time that the service asks to wait.
async function sendWhenAllowed(method, path, body) {
  for (;;) {
    const response = await send(method, path, body);
    if (!isBusy(response)) {
      return response;
    }
    await wait(secondsToWait(response));
  }
}

// Send a request of a logged in user. Return the JSON of the answer, if it has any.
async function request(method, path, body) {
  for (let isRefreshed = false; ; isRefreshed = true) {
    const before = cookiesVersion();
    const response = await sendWhenAllowed(method, path, body);
    if (response.status !== 401) {
      return contentOf(response);
    }
    if (isRefreshed || !(await refresh(before))) {
      throw new SessionEnded();
    }
  }
}

// Return the JSON of an answer. Throw an Error with the message of the service if it is an error.
async function contentOf(response) {
  if (response.status === 204) {
    return null;
  }
  const content = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Error(content.message ?? `The service answered with status ${response.status}.`);
  }
  return content;
}

// --- The session ---------------------------------------------------------------------------------

// All tabs share the cookies. localStorage says to each of them which cookies there are: the version
// changes with every log in and every refresh.
function cookiesVersion() {
  return localStorage.getItem("cookies version");
}

function noteNewCookies() {
  localStorage.setItem("cookies version", `${Date.now()} ${Math.random()}`);
}

// Run what changes the cookies in one tab at a time. A page over plain http has no locks unless its
// host is a loopback one; there the grace of refresh tokens has to do.
function inOneTab(change) {
  return navigator.locks ? navigator.locks.request("session cookies", change) : change();
}

let refreshing = null; // the promise of a refresh that runs
let endedVersion; // of the cookies of a session that has ended

// Refresh the session, once for all requests that need it. Return whether the session goes on.
function refresh(before) {
  refreshing ??= inOneTab(() => refreshCookies(before)).finally(() => {
    refreshing = null;
  });
  return refreshing;
}

async function refreshCookies(before) {
  for (let retries = 0; retries < MOST_RETRIES_OF_REFRESH; retries += 1) {
    if (cookiesVersion() !== before) {
      return true; // another request, or another tab, has new cookies since then
    }
    if (before === endedVersion) {
      return false; // another request was told so
    }
    const response = await sendWhenAllowed("POST", "/auth/refresh");
    if (response.status !== 401) {
      await contentOf(response);
      noteNewCookies();
      return true;
    }
    if (!response.headers.has("Retry-After")) {
      endedVersion = before;
      return cookiesVersion() !== before;
    }
    // Tabs without locks have refreshed at the same time. The cookies of the last one are valid.
    await wait(secondsToWait(response));
  }
  throw new Error("The session could not be refreshed. Reload the page to try again.");
}

async function logIn(form) {
  const { email, password } = Object.fromEntries(new FormData(form));
  const response = await inOneTab(() => send("POST", "/auth/login", { email, password }));
  if (isBusy(response)) {
    form.querySelector("button").disabled = true;
    await wait(secondsToWait(response));
    form.querySelector("button").disabled = false;
    return;
  }
  const { user } = await contentOf(response);
  form.reset();
  noteNewCookies();
  localStorage.setItem("user", user.email);
  await showPage();
}

async function logOut() {
  const response = await inOneTab(() => sendWhenAllowed("POST", "/auth/logout"));
  if (response.status !== 401) {
    await contentOf(response);
  }
  forgetUser();
  await showPage();
}

async function logOutEverywhere() {
  await request("POST", "/auth/logout-everywhere");
  forgetUser();
  await showPage();
}

async function endSession(id) {
  await request("DELETE", `/auth/sessions/${encodeURIComponent(id)}`);
  await showSessions();
}

// The other tabs show the form as well: they hear of each change in localStorage.
function forgetUser() {
  localStorage.removeItem("user");
}

// --- The page ------------------------------------------------------------------------------------

function element(id) {
  return document.getElementById(id);
}

function showMessage(text) {
  element("message").textContent = text;
}

async function showPage() {
  const user = localStorage.getItem("user");
  element("login").hidden = user !== null;
  element("home").hidden = user === null;
  element("user").textContent = user ?? "";
  if (user === null) {
    element("accounts").replaceChildren();
    element("sessions").replaceChildren();
    return;
  }
  await Promise.all([showAccounts(), showSessions()]);
}

async function showAccounts() {
  const { accounts } = await request("GET", "/api/v1/accounts");
  const rows = accounts.map((account) =>
    row(account.email, account.account_type, account.is_sync_enabled ? "on" : "off"),
  );
  element("accounts").replaceChildren(...rows);
}

async function showSessions() {
  const { sessions } = await request("GET", "/auth/sessions");
  const rows = sessions.map((session) =>
    row(
      session.device ?? "unknown",
      session.address ?? "unknown",
      new Date(session.began_at).toLocaleString(),
      new Date(session.used_at).toLocaleString(),
      session.current ? "this session" : button("End", () => endSession(session.id)),
    ),
  );
  element("sessions").replaceChildren(...rows);
}

// Return a row of a table. What is text stays text, whatever the service says.
function row(...cells) {
  const tr = document.createElement("tr");
  for (const cell of cells) {
    const td = document.createElement("td");
    td.append(cell);
    tr.append(td);
  }
  return tr;
}

function button(label, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", () => run(action));
  return made;
}

// Do something, and say on the page why it failed, if it does.
async function run(action) {
  showMessage("");
  try {
    await action();
  } catch (error) {
    if (error instanceof SessionEnded) {
      forgetUser();
      await showPage();
      showMessage("The session has ended. Log in again.");
    } else {
      showMessage(error.message);
    }
  }
}

element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  run(() => logIn(event.target));
});
element("reload").addEventListener("click", () => run(showPage));
element("log-out").addEventListener("click", () => run(logOut));
element("log-out-everywhere").addEventListener("click", () => run(logOutEverywhere));
window.addEventListener("storage", (event) => {
  if (event.key === "user") {
    run(showPage);
  }
});
run(showPage);
