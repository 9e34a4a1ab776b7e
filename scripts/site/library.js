/**
 * Writes a Markdown page for each entry of the library, from the doc comments. It must run in the folder where the
 * site's tools are installed: `node library.js OPTIONS`, with the JSON of `{ tsconfig, out, entries: {
 * 'keyfold/client': 'FILE.ts' } }`.
 */
import { Application } from 'typedoc';

const { tsconfig, out, entries } = JSON.parse(process.argv[2]);
const app = await Application.bootstrapWithPlugins({
  plugin: ['typedoc-plugin-markdown'],
  tsconfig,
  entryPoints: Object.values(entries),
  alwaysCreateEntryPointModule: true,
  logLevel: 'Error',
  disableSources: true,
  excludeExternals: true,
  excludePrivate: true,
  hideBreadcrumbs: true,
  hideGroupHeadings: true,
  hidePageHeader: true,
  outputFileStrategy: 'modules',
  readme: 'none',
  outputs: [{ name: 'markdown', path: out }],
  useCodeBlocks: true,
  parametersFormat: 'table',
  interfacePropertiesFormat: 'table',
  classPropertiesFormat: 'table',
  typeDeclarationFormat: 'table',
});
const project = await app.convert();
if (project === undefined) throw new Error('typedoc could not read the entries');
for (const module of project.children ?? []) {
  const file = project.getSymbolIdFromReflection(module)?.packagePath;
  const name = Object.keys(entries).find((each) => file !== undefined && entries[each].endsWith(`/${file}`));
  // The file of a page is named after its module, and a file name must not contain a slash.
  if (name !== undefined) module.name = name.replaceAll('/', '-');
}
await app.generateOutputs(project);
if (app.logger.hasErrors()) throw new Error('typedoc found errors');
