/** `custom` of serverless.yml: the values for the region in `--region`. CommonJS, because osls loads no TypeScript. */
module.exports = async ({ options }) => {
  const { readDeployment, deploymentFile } = require('./read-deployment.ts');
  const { appValues } = require('./app.ts');
  const deployment = await readDeployment(deploymentFile());
  return appValues(deployment, options.region ?? deployment.regions[0]);
};
