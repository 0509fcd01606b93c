-- :checkhealth remask
local M = {}

local function version_of(program)
  local ok, done = pcall(function()
    return vim.system({ program, '--version' }, { text = true }):wait(20000)
  end)
  return ok and done.code == 0 and vim.trim(done.stdout) or nil
end

local function check_neovim()
  if vim.fn.has('nvim-0.11') == 0 then
    vim.health.error('Neovim 0.11 or newer is needed, this is ' .. tostring(vim.version()))
  elseif require('remask').native() then
    vim.health.ok('Neovim ' .. tostring(vim.version()) .. ' shows ghost text by itself')
  else
    vim.health.ok('Neovim ' .. tostring(vim.version()) .. ': lua/remask/inline.lua shows the ghost text')
  end
end

local function check_program(config)
  local program = type(config.cmd) == 'table' and config.cmd[1] or 'remask'
  if vim.fn.executable(program) == 0 then
    vim.health.error(
      ('`%s` cannot be run'):format(program),
      { '`pip install .` in a checkout of Remask', "or name it: require('remask').setup({ cmd = { '/path/to/remask', 'lsp' } })" }
    )
    return
  end
  local version = version_of(program)
  if version then
    vim.health.ok(('%s (%s)'):format(version, vim.fn.exepath(program)))
  else
    vim.health.error(('`%s --version` fails'):format(program), { 'run it in a terminal to see why' })
  end
end

local function check_clients()
  local clients = vim.lsp.get_clients({ name = 'remask' })
  if #clients == 0 then
    vim.health.info('No buffer is served yet: open a Python, JavaScript or TypeScript file')
    return
  end
  for _, client in ipairs(clients) do
    local buffers = vim.tbl_count(client.attached_buffers)
    vim.health.ok(('client %d serves %d buffer(s), positions in %s'):format(client.id, buffers, client.offset_encoding))
    if not (client.server_capabilities or {}).inlineCompletionProvider then
      vim.health.error('The server does not offer inline completion', { 'is `remask` an old version?' })
    end
  end
  local status = require('remask').status
  local facts = ('%s%s'):format(status.state or '?', status.message and status.message ~= '' and ': ' .. status.message or '')
  if status.state == 'error' then
    vim.health.error('The engine: ' .. facts, { 'run `remask doctor` in a terminal', ':Remask restart' })
  else
    vim.health.ok(('engine %s, %s on %s'):format(facts, tostring(status.model or 'no model yet'), tostring(status.device or '?')))
  end
end

local function check_keys()
  local keys = require('remask').options.keys
  for _, name in ipairs({ 'accept', 'accept_word', 'accept_line', 'next', 'previous', 'dismiss', 'trigger', 'source' }) do
    vim.health.info(('%s: %s'):format(name, keys[name] or 'no key'))
  end
end

function M.check()
  vim.health.start('remask: Neovim')
  check_neovim()
  vim.health.start('remask: program')
  local config = vim.lsp.config and vim.lsp.config.remask or nil
  if not config then
    vim.health.error('lsp/remask.lua is not found', { 'add the folder that `remask lsp --neovim` prints to runtimepath' })
    return
  end
  check_program(config)
  if vim.lsp.is_enabled and not vim.lsp.is_enabled('remask') then
    vim.health.warn('The server is not enabled', { "vim.lsp.enable('remask')" })
  end
  vim.health.start('remask: server')
  check_clients()
  vim.health.start('remask: keys in insert mode')
  check_keys()
end

return M
