// How the page looks to this person: kept by the browser where it lets a page keep anything.

const unkept = new Map();

export function getSetting(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return unkept.get(name) ?? null;
  }
}

export function setSetting(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    unkept.set(name, value);
  }
}
