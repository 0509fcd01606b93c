-- Remask for Neovim 0.11 and newer: keys, commands and a status; everything else is in the language server.
local M = {}

M.options = {
  -- Insert-mode keys, buffer-local; false for none. See |remask-keys|.
  keys = {
    accept = '<Tab>',
    accept_word = '<M-w>',
    accept_line = '<M-l>',
    next = '<M-]>',
    previous = '<M-[>',
    dismiss = '<C-]>',
    trigger = '<M-\\>',
    source = '<M-s>',
  },
  -- Milliseconds that the fallback for 0.11 waits after a key; the server waits by itself when it is busy.
  debounce = 30,
}

M.status = { state = 'off' }
local told = {} -- what each client's server said last: one may exit and others go on
local pauses = {} -- the commands by which things came to be paused, oldest first
local paused_in = {} -- clients that know them: a server that starts later, or again, knows nothing

--- Whether this Neovim shows ghost text of language servers by itself.
function M.native()
  return vim.lsp.inline_completion ~= nil
end

local function backend()
  return M.native() and require('remask.native') or require('remask.inline')
end

--- Options, see |remask-setup|: `keys` and `debounce`, and `settings` and `cmd` for the server. Enables the server.
function M.setup(options)
  options = options or {}
  vim.validate('options', options, 'table')
  M.options = vim.tbl_deep_extend('force', M.options, { keys = options.keys, debounce = options.debounce })
  local config = { settings = options.settings and { remask = options.settings }, cmd = options.cmd }
  if next(config) ~= nil then
    vim.lsp.config('remask', config)
  end
  vim.lsp.enable('remask')
end

--- Accept the suggestion on show; false when there is none. `part` is 'all' (default), 'word' or 'line'.
function M.accept(part)
  return backend().accept(vim.api.nvim_get_current_buf(), part or 'all')
end

--- Show the next alternative, or the previous one with -1; asks for more when there is only one.
function M.cycle(step)
  backend().cycle(vim.api.nvim_get_current_buf(), step or 1)
end

--- Ask for a suggestion now, whatever was typed last.
function M.trigger()
  backend().trigger(vim.api.nvim_get_current_buf())
end

--- Hide the suggestion; false when there is none.
function M.dismiss()
  return backend().dismiss(vim.api.nvim_get_current_buf())
end

-- The key's own mapping again, if the buffer has one of its own (`old`), and ours once what was typed is dealt with.
-- Neovim itself then finds what the key does: a mapping of everybody, its own <Tab> for snippets, or the bare key. A copy
-- of a mapping under another name would not do: one that yields its own key would come back here for ever.
local function step_aside(buffer, key, old, come_back)
  vim.keymap.del('i', key, { buffer = buffer })
  if old then
    vim.api.nvim_buf_call(buffer, function()
      vim.fn.mapset('i', false, old)
    end)
  end
  vim.schedule(function()
    if vim.api.nvim_buf_is_valid(buffer) then
      come_back()
    end
  end)
end

-- Say to a new server what was paused before it started.
local function repeat_pauses(client)
  if paused_in[client.id] then
    return
  end
  paused_in[client.id] = true
  for _, said in ipairs(pauses) do
    client:request('workspace/executeCommand', { command = said[1], arguments = { said[2] } })
  end
end

local function map(buffer, key, action, description, falls_back)
  if not key then
    return
  end
  local desc = 'Remask: ' .. description
  local old = vim.api.nvim_buf_call(buffer, function()
    return vim.fn.maparg(key, 'i', false, true)
  end)
  -- Attached anew, as after a crash: the mapping serves any client, and knows what the key did before it.
  if old.buffer == 1 and old.desc == desc then
    return
  end
  local before = ('<Plug>(remask-before-%s)'):format((description:gsub('%W', '-')))
  if falls_back then
    -- Not the key itself: what a mapping yields first is not mapped when it is the mapping's own key.
    vim.keymap.set('i', before, key, { buffer = buffer, remap = true })
  end
  vim.keymap.set('i', key, function()
    if action() == false and falls_back then
      step_aside(buffer, key, old.buffer == 1 and old or nil, function()
        map(buffer, key, action, description, falls_back)
      end)
      return before
    end
    return ''
  end, { buffer = buffer, expr = true, remap = true, replace_keycodes = true, desc = desc })
end

--- Called for every buffer that the server serves.
function M.attach(client, buffer)
  repeat_pauses(client)
  backend().attach(client, buffer, M.options)
  local keys = M.options.keys
  map(buffer, keys.accept, function()
    return M.accept('all')
  end, 'accept the suggestion', true)
  map(buffer, keys.accept_word, function()
    return M.accept('word')
  end, 'accept the next word', true)
  map(buffer, keys.accept_line, function()
    return M.accept('line')
  end, 'accept the next line', true)
  map(buffer, keys.next, function()
    M.cycle(1)
  end, 'next suggestion')
  map(buffer, keys.previous, function()
    M.cycle(-1)
  end, 'previous suggestion')
  map(buffer, keys.dismiss, M.dismiss, 'hide the suggestion', true)
  map(buffer, keys.trigger, function()
    M.trigger()
  end, 'suggest now')
  map(buffer, keys.source, function()
    M.source()
  end, 'show where the workspace says the same')
end

local function show_status(status)
  M.status = status
  vim.api.nvim_exec_autocmds('User', { pattern = 'RemaskStatus', modeline = false, data = status })
  vim.cmd.redrawstatus({ bang = true })
end

function M.on_status(client_id, status)
  told[client_id] = status
  show_status(status)
end

function M.on_exit(client_id)
  told[client_id], paused_in[client_id] = nil, nil
  local _, other = next(told)
  show_status(other or { state = 'off' })
end

--- For a status line: `%{v:lua.require'remask'.statusline()}`.
function M.statusline()
  local s = M.status
  local text = 'Remask ' .. (s.state or 'off')
  if s.state == 'ready' and type(s.medianMs) == 'number' then
    text = ('%s %d ms'):format(text, s.medianMs)
  end
  if s.engine == 'team' then
    text = ('%s (%s)'):format(text, s.host)
  elseif s.engine == 'fallback' then
    text = text .. ' (local: the team\'s engine is out of reach)'
  end
  return text
end

local function execute(clients, command, ...)
  if #clients == 0 then
    vim.notify('Remask does not run here; see :checkhealth remask', vim.log.levels.WARN)
  end
  for _, client in ipairs(clients) do
    client:request('workspace/executeCommand', { command = command, arguments = { ... } }, function(err, result)
      if err then
        vim.notify('Remask: ' .. (err.message or 'the command failed'), vim.log.levels.ERROR)
      elseif type(result) == 'table' and result.error then
        vim.notify('Remask: ' .. tostring(result.error), vim.log.levels.ERROR)
      elseif command == 'remask.stats' then
        vim.notify(vim.inspect(result))
      elseif command == 'remask.source' then
        M.show_places(result, client.offset_encoding)
      end
    end)
  end
end

-- Each project has a client of its own.
local function all_clients()
  return vim.lsp.get_clients({ name = 'remask' })
end

-- The one of this buffer; where Remask serves nothing, as in the help, any.
local function one_client()
  return { vim.lsp.get_clients({ name = 'remask', bufnr = 0 })[1] or all_clients()[1] }
end

--- What files Remask serves, by their 'filetype'.
function M.filetypes()
  return (vim.lsp.config.remask or {}).filetypes or {}
end

function M.show_places(result, encoding)
  if not result or result == vim.NIL or #result.places == 0 then
    vim.notify('Remask: nothing like this suggestion is in the other files of the workspace')
    return
  end
  local items = vim.lsp.util.locations_to_items(result.places, encoding)
  vim.fn.setqflist({}, ' ', { title = 'Remask: ' .. result.text, items = items })
  vim.notify(('Remask: %d place(s) in the quickfix list, :copen shows them'):format(#items))
end

--- Put the places where the workspace says what the suggestion says into the quickfix list.
function M.source()
  execute(one_client(), 'remask.source', vim.uri_from_bufnr(0))
end

-- Pause or resume in all servers, those to come among them; without a language everything is resumed.
local function set_paused(command, language)
  if command == 'remask.resume' and not language then
    pauses = {}
  else
    pauses = vim.tbl_filter(function(said)
      return said[2] ~= language
    end, pauses)
    table.insert(pauses, { command, language })
  end
  execute(all_clients(), command, language)
end

M.commands = {
  source = M.source,
  pause = function(language)
    set_paused('remask.pause', language)
  end,
  resume = function(language)
    set_paused('remask.resume', language)
  end,
  restart = function()
    local here = vim.lsp.get_clients({ name = 'remask', bufnr = 0 })[1]
    if not here and (#all_clients() == 0 or vim.tbl_contains(M.filetypes(), vim.bo.filetype)) then
      vim.lsp.enable('remask') -- the server itself has died: another one, for every buffer that has none
    else
      execute(one_client(), 'remask.restartEngine')
    end
  end,
  stats = function()
    execute(one_client(), 'remask.stats')
  end,
  fix = function()
    vim.lsp.buf.code_action({
      apply = true,
      filter = function(action)
        return action.isPreferred and vim.startswith(action.title, 'Remask:')
      end,
    })
  end,
  health = function()
    vim.cmd.checkhealth('remask')
  end,
}

return M
