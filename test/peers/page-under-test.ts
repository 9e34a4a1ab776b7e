import type { Browser, Page } from 'playwright-core';

/** The page of the local world in a browser, at one window size. */
export class PageUnderTest {
  readonly page: Page;
  /** The errors in the browser's console. */
  readonly complaints: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.setDefaultTimeout(60_000);
    // The browser also reports a violation of the content security policy as an error in the console.
    page.on('console', (message) => message.type() === 'error' && this.complaints.push(message.text()));
    page.on('pageerror', (error) => this.complaints.push(error.message));
  }

  static async open(
    browser: Browser,
    url: string,
    width = 1280,
    scheme: 'light' | 'dark' = 'light',
  ): Promise<PageUnderTest> {
    const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme: scheme });
    const opened = new PageUnderTest(await context.newPage());
    await opened.page.goto(url);
    await opened.page.locator('#keys > *').waitFor();
    return opened;
  }

  /** Presses a button. Returns the page's status line: the outcome, and how many KMS and DynamoDB calls it took. */
  async press(name: string, outcome: RegExp): Promise<string> {
    await this.page.getByRole('button', { name, exact: true }).click();
    return this.said(outcome);
  }

  /** Waits for an outcome. Returns the line in which the page shows the outcome and what it cost. */
  async said(outcome: RegExp): Promise<string> {
    const status = this.page.locator('#last-status').filter({ hasText: outcome });
    // Wait for the outcome first. After a dialog, the page becomes busy only a moment later, so a check for `busy`
    // alone could pass too early. Then wait until the page is no longer busy, because it shows the outcome before it
    // reads the state again.
    await status.waitFor();
    await this.settled();
    return (await status.textContent()) ?? '';
  }

  /** Waits until the page has read the state of the local world again. */
  async settled(): Promise<void> {
    await this.page.locator('body:not(.busy)').waitFor();
  }
}
