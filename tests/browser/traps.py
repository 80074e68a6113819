"""Pages on which everything that the snippet does not need throws when the snippet reads it.

What it needs is written down here, name by name: the list is what a reviewer asks for. A trap looks
at who reads: the shop's own scripts and the driver go on as ever. What it catches it also tells the
shop's server, so that no `catch` can hide it.
"""

import base64
import hashlib

NEEDED = {
    # The language, and what every page may read of itself.
    "window": """Blob CustomEvent Date Infinity JSON Math Object Proxy Request URL URLSearchParams
        addEventListener clearTimeout crypto dispatchEvent document fetch localStorage navigator
        offerChoice self setTimeout signalLayer""",
    "Document": "currentScript prerendering querySelectorAll",
    "Navigator": "sendBeacon",
    "Crypto": "randomUUID",
    # The answer controls: where they are, what their markup says, and whether they are set.
    "Node": "parentNode",
    "Element": "assignedSlot matches",
    "CharacterData": "assignedSlot",
    "Text": "assignedSlot",
    "ShadowRoot": "host",
    "HTMLElement": "dataset",
    "SVGElement": "dataset",
    "HTMLScriptElement": "src",
    "HTMLLabelElement": "control",
    "HTMLInputElement": "labels form type",
    "HTMLButtonElement": "labels type",
    "HTMLSelectElement": "labels selectedOptions type",
    "HTMLOptionElement": "form",
    "HTMLTextAreaElement": "labels",
    "HTMLFormElement": "",
    "Event": "type target composedPath",
    "MouseEvent": "",
    "PointerEvent": "",
    "UIEvent": "",
    "SubmitEvent": "",
    "FormDataEvent": "",
}

# `dataset` is needed, but only for what is ours.
ATTRIBUTES = "choice offer token"

SCRIPT = """<script>(() => {
  // Taken before they are trapped themselves.
  const [Failure, owns, define, describe] =
    [Error, Object.getOwnPropertyNames, Object.defineProperty, Object.getOwnPropertyDescriptor];
  const tell = navigator.sendBeacon.bind(navigator);
  // Of the frames in scripts the first is this function, the second the trap, the third who reads.
  const ours = () =>
    new Failure().stack.split('\\n').filter((frame) => frame.includes('://'))[2]
      ?.includes('/choice.js');
  const caught = (name) => { tell('/caught', name); throw new Failure('read ' + name); };
  const trap = (object, kind, name) => {
    const old = describe(object, name);
    if (!old || !old.configurable) return;
    define(object, name, {
      configurable: true,
      enumerable: old.enumerable,
      get() {
        if (ours()) caught(kind + '.' + name);
        return old.get ? old.get.call(this) : old.value;
      },
      set(value) {
        if (old.set) old.set.call(this, value);
        else if (this === object || this == null) old.value = value;
        else define(this, name,
          { value, writable: true, configurable: true, enumerable: true });
      },
    });
  };
  const needed = %s;
  for (const kind in needed) {
    const object = kind == 'window' ? window : window[kind]?.prototype;
    if (object) for (const name of owns(object))
      if (name != 'constructor' && !needed[kind].includes(name)) trap(object, kind, name);
  }
  for (const type of [HTMLElement, SVGElement]) {
    const { get } = describe(type.prototype, 'dataset');
    const script = HTMLScriptElement;
    define(type.prototype, 'dataset', { configurable: true, get() {
      const data = get.call(this);
      return this instanceof script || !ours() ? data : new Proxy(data, { get(_, name) {
        if (!%s.includes(name)) caught('dataset.' + String(name));
        return data[name];
      } });
    } });
  }
})()</script>"""


def script() -> str:
    """Return the tag that sets the traps; it must come before all others."""
    needed = {kind: names.split() for kind, names in NEEDED.items()}
    return SCRIPT % (needed, ATTRIBUTES.split())


def source() -> str:
    """Return what a content security policy calls that script."""
    body = script().removeprefix("<script>").removesuffix("</script>")
    return f"'sha384-{base64.b64encode(hashlib.sha384(body.encode()).digest()).decode()}'"
