/** As much of the DOM as the scripts of the local page use. It has no layout and no styles. */
const VOID = /^(?:input|img|link|meta)$/;
const TOKEN = /<(\/?)([a-z]\w*)([^>]*)>|([^<]+)/g;
const ATTRIBUTE = /([\w-]+)(?:="([^"]*)"|='([^']*)')?/g;
const SIMPLE_SELECTOR = /^([a-z]\w*)?((?:\[[^\]]+\])*)(?:\.([\w-]+))?(:checked)?$/;

type Listener = (event: PageEvent) => unknown;

/** An event, with the members that the page reads. */
interface PageEvent {
  readonly type: string;
  readonly target?: PageElement;
  readonly key?: string;
  readonly ctrlKey?: boolean;
  preventDefault?(): void;
}

/** The listeners of an element, of the document or of the window. */
class PageTarget {
  readonly #listeners: { type: string; listener: Listener; once: boolean }[] = [];

  addEventListener(type: string, listener: Listener, { once = false } = {}): void {
    this.#listeners.push({ type, listener, once });
  }

  dispatchEvent(event: PageEvent): void {
    for (const one of this.#listeners.filter(({ type }) => type === event.type)) {
      if (one.once) this.#listeners.splice(this.#listeners.indexOf(one), 1);
      one.listener(event);
    }
  }
}

/** An element of the page. */
export class PageElement extends PageTarget {
  readonly name: string;
  readonly attributes = new Map<string, string>();
  readonly style: Record<string, string> = {};
  returnValue = '';
  open = false;
  /** The distance from the top of the window, which a test can set. */
  top = 0;
  isScrolledTo = false;
  nodes: (PageElement | string)[] = [];
  parent: PageElement | undefined;
  #value: string | undefined;
  #checked: boolean | undefined;

  constructor(name: string) {
    super();
    this.name = name;
  }

  get children(): PageElement[] {
    return this.nodes.filter((node) => typeof node !== 'string');
  }

  /** The elements inside this element, in the order of the page. */
  get all(): PageElement[] {
    return this.children.flatMap((child) => [child, ...child.all]);
  }

  get id(): string {
    return this.attributes.get('id') ?? '';
  }

  get dataset(): Record<string, string> {
    const data = [...this.attributes].filter(([name]) => name.startsWith('data-'));
    return Object.fromEntries(data.map(([name, value]) => [name.slice(5), value]));
  }

  get classes(): string[] {
    return (this.attributes.get('class') ?? '').split(' ').filter((name) => name !== '');
  }

  set className(names: string) {
    this.attributes.set('class', names);
  }

  get classList(): { toggle(name: string, on: boolean): void } & Record<'add' | 'remove', (name: string) => void> & {
      contains(name: string): boolean;
    } {
    const toggle = (name: string, on: boolean): void => {
      this.className = [...this.classes.filter((one) => one !== name), ...(on ? [name] : [])].join(' ');
    };
    return {
      toggle,
      add: (name) => toggle(name, true),
      remove: (name) => toggle(name, false),
      contains: (name) => this.classes.includes(name),
    };
  }

  get hidden(): boolean {
    return this.attributes.has('hidden');
  }

  set hidden(isHidden: boolean) {
    if (isHidden) this.attributes.set('hidden', '');
    else this.attributes.delete('hidden');
  }

  get textContent(): string {
    return this.nodes.map((node) => (typeof node === 'string' ? node : node.textContent)).join('');
  }

  set textContent(text: string) {
    this.nodes = [text];
  }

  get value(): string {
    if (this.#value !== undefined) return this.#value;
    if (this.name === 'textarea') return this.textContent.replace(/^\n/, '');
    if (this.name !== 'select') return this.attributes.get('value') ?? '';
    return (this.children.find((option) => option.attributes.has('selected')) ?? this.children[0])?.value ?? '';
  }

  set value(value: string) {
    this.#value = value;
  }

  get checked(): boolean {
    return this.#checked ?? this.attributes.has('checked');
  }

  set checked(isChecked: boolean) {
    if (this.attributes.get('type') === 'radio' && isChecked) {
      for (const other of this.root.querySelectorAll(`[name="${this.attributes.get('name')}"]`)) other.#checked = false;
    }
    this.#checked = isChecked;
  }

  get root(): PageElement {
    return this.parent?.root ?? this;
  }

  setAttribute(name: string, value: string): void {
    this.attributes.set(name, value);
  }

  append(...nodes: (PageElement | string)[]): void {
    for (const node of nodes) if (typeof node !== 'string') node.parent = this;
    this.nodes.push(...nodes);
  }

  replaceChildren(...nodes: (PageElement | string)[]): void {
    this.nodes = [];
    // A choice of the user ends with the options that it was one of.
    this.#value = undefined;
    this.append(...nodes);
  }

  replaceWith(element: PageElement): void {
    element.parent = this.parent;
    this.parent?.nodes.splice(this.parent.nodes.indexOf(this), 1, element);
  }

  matches(selector: string): boolean {
    const [, name, attributes = '', ofClass, checked] = SIMPLE_SELECTOR.exec(selector) ?? [];
    const wanted = [...attributes.matchAll(/\[([\w-]+)(?:="(.*?)")?\]/g)];
    return (
      (name === undefined || name === this.name) &&
      (ofClass === undefined || this.classes.includes(ofClass)) &&
      (checked === undefined || this.checked) &&
      wanted.every(
        ([, key = '', value]) =>
          this.attributes.has(key) && (value ?? this.attributes.get(key)) === this.attributes.get(key),
      )
    );
  }

  querySelectorAll(selector: string): PageElement[] {
    return this.all.filter((element) => element.matches(selector));
  }

  querySelector(selector: string): PageElement | null {
    return this.querySelectorAll(selector)[0] ?? null;
  }

  closest(selector: string): PageElement | null {
    return this.matches(selector) ? this : (this.parent?.closest(selector) ?? null);
  }

  click(): void {
    this.dispatchEvent({ type: 'click', target: this });
  }

  showModal(): void {
    this.open = true;
  }

  close(value: string): void {
    this.open = false;
    this.returnValue = value;
    this.dispatchEvent({ type: 'close' });
  }

  focus(): void {}

  scrollIntoView(): void {
    this.isScrolledTo = true;
  }

  getBoundingClientRect(): { top: number } {
    return { top: this.top };
  }
}

/** The document of a page, parsed from HTML in which every element but a void one has an end tag. */
export class PageDocument extends PageTarget {
  readonly root = new PageElement('html');

  constructor(html: string) {
    super();
    let at = this.root;
    for (const [, end, name = '', attributes = '', text] of html.replace(/<!.*?>/, '').matchAll(TOKEN)) {
      if (text !== undefined) at.append(text);
      else if (end === '/') at = at.parent ?? at;
      else {
        const element = new PageElement(name);
        for (const [, key = '', double, single] of attributes.matchAll(ATTRIBUTE))
          element.setAttribute(key, double ?? single ?? '');
        at.append(element);
        if (!VOID.test(name)) at = element;
      }
    }
  }

  get body(): PageElement {
    return this.root.querySelector('body') as PageElement;
  }

  get forms(): PageElement[] {
    return this.root.querySelectorAll('form');
  }

  createElement(name: string): PageElement {
    return new PageElement(name);
  }

  getElementById(id: string): PageElement | null {
    return this.root.all.find((element) => element.id === id) ?? null;
  }

  getElementsByName(name: string): PageElement[] {
    return this.root.querySelectorAll(`[name="${name}"]`);
  }

  querySelector(selector: string): PageElement | null {
    return this.root.querySelector(selector);
  }

  querySelectorAll(selector: string): PageElement[] {
    return this.root.querySelectorAll(selector);
  }
}
