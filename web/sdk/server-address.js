/**
 * The address of the server that this SDK was loaded from: its modules are served below `sdk/` and `sdk/v1/`.
 *
 * An SDK that is part of an application's own bundle cannot know the server. The application then says it (`base`).
 */
export const SERVER_ADDRESS = new URL(/\/sdk\/v1\/[^/]*$/.test(import.meta.url) ? '../../' : '../', import.meta.url);
