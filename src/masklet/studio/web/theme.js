/** Theme: light, dark, or that of the system. */

/** @typedef {"system" | "light" | "dark"} Theme */

const STORAGE = "masklet.theme";

/** @returns {Theme} */
export function storedTheme() {
  const value = localStorage.getItem(STORAGE);
  return value === "light" || value === "dark" ? value : "system";
}

/** @param {Theme} theme */
export function setTheme(theme) {
  if (theme === "system") {
    localStorage.removeItem(STORAGE);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(STORAGE, theme);
    document.documentElement.dataset.theme = theme;
  }
  document.dispatchEvent(new Event("themechange"));
}

/** Apply the stored theme, and report when the system's changes. */
export function startTheme() {
  setTheme(storedTheme());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new Event("themechange"));
  });
}
