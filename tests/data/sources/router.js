/**
 * A small router: patterns with parameters, middleware, and links made from route names.
 */
import { parse } from './query.js';

const SEGMENT = /^[A-Za-z0-9._~-]+$/;
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

export class RouteError extends Error {
  constructor(message, status = 404) {
    super(message);
    this.name = 'RouteError';
    this.status = status;
  }
}

/** Split a path into segments, without empty ones. */
export function segments(path) {
  return path
    .split('/')
    .filter((part) => part.length > 0)
    .map(decodeURIComponent);
}

/** Compile "/users/:id/files/*rest" into a list of matchers. */
export function compile(pattern) {
  const names = new Set();
  const parts = segments(pattern).map((part, index, all) => {
    if (part.startsWith(':') || part.startsWith('*')) {
      const name = part.slice(1);
      if (!name || names.has(name)) {
        throw new RouteError(`bad parameter "${part}" in ${pattern}`, 500);
      }
      if (part.startsWith('*') && index !== all.length - 1) {
        throw new RouteError(`"${part}" must come last in ${pattern}`, 500);
      }
      names.add(name);
      return { kind: part.startsWith('*') ? 'rest' : 'one', name };
    }
    if (!SEGMENT.test(part)) {
      throw new RouteError(`bad segment "${part}" in ${pattern}`, 500);
    }
    return { kind: 'text', text: part };
  });
  return { pattern, parts, names: [...names] };
}

/** The parameters of a path, or null when it does not match. */
export function match(route, path) {
  const given = segments(path);
  const params = {};
  for (let i = 0; i < route.parts.length; i += 1) {
    const part = route.parts[i];
    if (part.kind === 'rest') {
      params[part.name] = given.slice(i).join('/');
      return params;
    }
    if (i >= given.length) {
      return null;
    }
    if (part.kind === 'text') {
      if (part.text !== given[i]) {
        return null;
      }
    } else {
      params[part.name] = given[i];
    }
  }
  return given.length === route.parts.length ? params : null;
}

/** Fixed text beats a parameter, a parameter beats the rest of the path. */
function rank(route) {
  const weights = { text: 3, one: 2, rest: 1 };
  return route.parts.reduce((total, part) => total * 4 + weights[part.kind], 0);
}

export class Router {
  #routes = new Map();
  #middleware = [];
  #named = new Map();

  constructor({ prefix = '', onError = null } = {}) {
    this.prefix = prefix;
    this.onError = onError;
    for (const method of METHODS) {
      this.#routes.set(method, []);
    }
  }

  use(handler) {
    if (typeof handler !== 'function') {
      throw new TypeError('middleware must be a function');
    }
    this.#middleware.push(handler);
    return this;
  }

  add(method, pattern, handler, { name = null } = {}) {
    const routes = this.#routes.get(method.toUpperCase());
    if (!routes) {
      throw new RouteError(`unknown method ${method}`, 405);
    }
    const route = { ...compile(this.prefix + pattern), handler };
    routes.push(route);
    routes.sort((a, b) => rank(b) - rank(a));
    if (name) {
      this.#named.set(name, route);
    }
    return this;
  }

  get(pattern, handler, options) {
    return this.add('GET', pattern, handler, options);
  }

  post(pattern, handler, options) {
    return this.add('POST', pattern, handler, options);
  }

  /** The path of a named route with its parameters filled in. */
  link(name, params = {}, query = null) {
    const route = this.#named.get(name);
    if (!route) {
      throw new RouteError(`no route is called "${name}"`, 500);
    }
    const parts = route.parts.map((part) => {
      if (part.kind === 'text') {
        return part.text;
      }
      const value = params[part.name];
      if (value === undefined || value === null) {
        throw new RouteError(`"${name}" needs the parameter "${part.name}"`, 500);
      }
      return part.kind === 'rest' ? String(value) : encodeURIComponent(value);
    });
    const search = query ? `?${new URLSearchParams(query)}` : '';
    return `/${parts.join('/')}${search}`;
  }

  find(method, path) {
    for (const route of this.#routes.get(method) ?? []) {
      const params = match(route, path);
      if (params) {
        return { route, params };
      }
    }
    return null;
  }

  allowed(path) {
    return METHODS.filter((method) => this.find(method, path) !== null);
  }

  async handle(request) {
    const [path, search = ''] = request.url.split('?');
    const context = { request, query: parse(search), state: {}, params: {} };
    try {
      return await this.#run(context, path, 0);
    } catch (error) {
      if (this.onError) {
        return this.onError(error, context);
      }
      const status = error instanceof RouteError ? error.status : 500;
      return { status, body: { error: error.message } };
    }
  }

  async #run(context, path, index) {
    if (index < this.#middleware.length) {
      const next = () => this.#run(context, path, index + 1);
      return this.#middleware[index](context, next);
    }
    const found = this.find(context.request.method, path);
    if (found) {
      context.params = found.params;
      return found.route.handler(context);
    }
    const allowed = this.allowed(path);
    if (allowed.length > 0) {
      throw new RouteError(`use ${allowed.join(', ')} for ${path}`, 405);
    }
    throw new RouteError(`nothing at ${path}`);
  }
}

/** Middleware that logs the method, the path, the status and the time taken. */
export function logger(write = console.log, now = () => performance.now()) {
  return async (context, next) => {
    const started = now();
    const response = await next();
    const { method, url } = context.request;
    write(`${method} ${url} ${response.status} ${(now() - started).toFixed(1)} ms`);
    return response;
  };
}
