/**
 * Building of elements. Texts become text nodes: nothing here parses HTML.
 */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Create an element.
 *
 * Attributes: a function is a listener (`onclick`), true an attribute without a value, false, null
 * and undefined none; `style` is an object, because the page's policy forbids style attributes.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown> | null} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes, ...children) {
  return build(document.createElement(tag), attributes, children);
}

/**
 * Create an SVG element; the arguments are those of `h`.
 *
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown> | null} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * Replace the children of an element.
 *
 * @template {Element} T
 * @param {T} element
 * @param {...(Child | Child[])} children
 * @returns {T}
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/**
 * Set the text of an element if it differs, since each change costs a layout.
 *
 * @param {HTMLElement} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @type {WeakMap<Element, string>} */
const shown = new WeakMap();

/**
 * Replace the children of an element if what they show has changed. Otherwise they stay, with the
 * focus, the selection and the scroll position that a user has there.
 *
 * @param {Element} element
 * @param {unknown} value that the children show
 * @param {() => Child | Child[]} make returns the children
 */
export function refresh(element, value, make) {
  const key = JSON.stringify(value) ?? "";
  if (shown.get(element) === key) return;
  shown.set(element, key);
  fill(element, make());
}

/**
 * @template {HTMLElement | SVGElement} T
 * @param {T} element
 * @param {Record<string, unknown> | null | undefined} attributes
 * @param {(Child | Child[])[]} children
 * @returns {T}
 */
function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (name === "style") {
      for (const [property, each] of Object.entries(value)) {
        element.style.setProperty(property, String(each));
      }
    } else {
      element.setAttribute(name, value === true ? "" : safe(name, String(value)));
    }
  }
  element.append(...nodes(children));
  return element;
}

/**
 * @param {(Child | Child[])[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return children
    .flat()
    .filter((each) => each !== null && each !== undefined && each !== false && each !== "")
    .map((each) => (typeof each === "number" ? String(each) : /** @type {Node | string} */ (each)));
}

/**
 * Return the value of an attribute, without addresses that would run a script.
 *
 * @param {string} name
 * @param {string} value
 */
function safe(name, value) {
  if (name !== "href" && name !== "src") return value;
  const { protocol } = new URL(value, document.baseURI);
  return protocol === "https:" || protocol === "http:" || protocol === "blob:" ? value : "";
}
