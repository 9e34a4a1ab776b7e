/** `custom` of serverless.yml, which takes no TypeScript: the values of the deployment in the region of `--region`. */
module.exports = async ({ options }) => {
  const { readDeployment, deploymentFile } = require('./read-deployment.ts');
  const { appValues } = require('./app.ts');
  const deployment = await readDeployment(deploymentFile());
  return appValues(deployment, options.region ?? deployment.regions[0]);
};
