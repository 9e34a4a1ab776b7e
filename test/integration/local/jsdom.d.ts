/** The types of jsdom that the tests of the local page need. The published types would add a browser's globals. */
declare module 'jsdom' {
  export class JSDOM {
    constructor(html: string, options: { readonly url: string });
    readonly window: PageWindow;
  }

  export interface PageWindow {
    readonly document: PageDocument;
    readonly location: object;
    readonly Element: new () => PageElement;
    readonly Event: new (type: string, options?: object) => PageEvent;
    readonly KeyboardEvent: new (type: string, options: object) => PageEvent;
    readonly HTMLDialogElement: { readonly prototype: PageElement };
    close(): void;
  }

  export interface PageEvent {
    readonly type: string;
  }

  export interface PageNode {
    readonly textContent: string;
    readonly childNodes: Iterable<PageNode>;
  }

  export interface PageDocument {
    readonly body: PageElement;
    readonly activeElement: PageElement | null;
    getElementById(id: string): PageElement | null;
    querySelector(selector: string): PageElement | null;
    querySelectorAll(selector: string): Iterable<PageElement>;
  }

  /** An element of any kind. Only fields have a value, and only a dialog opens. */
  export interface PageElement extends PageNode {
    readonly id: string;
    readonly localName: string;
    readonly className: string;
    readonly classList: Iterable<string>;
    readonly attributes: Iterable<{ readonly name: string; readonly value: string }>;
    readonly children: ArrayLike<PageElement> & Iterable<PageElement>;
    readonly dataset: Readonly<Record<string, string>>;
    readonly hidden: boolean;
    value: string;
    checked: boolean;
    open: boolean;
    returnValue: string;
    showModal(): void;
    close(value?: string): void;
    click(): void;
    closest(selector: string): PageElement | null;
    getAttribute(name: string): string | null;
    getBoundingClientRect(): { readonly top: number };
    scrollIntoView(): void;
    querySelector(selector: string): PageElement | null;
    querySelectorAll(selector: string): Iterable<PageElement>;
    dispatchEvent(event: PageEvent): boolean;
  }
}
