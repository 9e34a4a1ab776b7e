export async function writePerformance(_results: object): Promise<void> {}
