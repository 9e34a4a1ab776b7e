/** The logical id of the nested stack of the roles. It follows the name of the stack in the names of the roles. */
export const ROLES_ID = 'Roles';
