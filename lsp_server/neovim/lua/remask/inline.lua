-- Neovim 0.11: ghost text by `textDocument/inlineCompletion`, with extmarks. Neovim 0.12 does this by itself.
local M = {}
local api = vim.api
local METHOD = 'textDocument/inlineCompletion'
local AUTOMATIC, INVOKED = 2, 1
local namespace = api.nvim_create_namespace('remask.inline')

---@class remask.State
---@field client_id integer
---@field debounce integer
---@field timer? uv.uv_timer_t
---@field request? integer
---@field items? table[] what the server said
---@field index integer
---@field row integer where the cursor was then (0-based, bytes)
---@field column integer
---@field before string the line before the cursor, then
---@field after string the line after the cursor, then
local states = {} ---@type table<integer, remask.State>

local function insert_mode()
  return api.nvim_get_mode().mode:sub(1, 1) == 'i'
end

local function cursor()
  local at = api.nvim_win_get_cursor(0)
  return at[1] - 1, at[2]
end

local function clear(buffer)
  api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
end

local function forget(buffer)
  local state = states[buffer]
  if state then
    state.items = nil
  end
  if api.nvim_buf_is_valid(buffer) then
    clear(buffer)
  end
end

--- What is left of the suggestion at the cursor: the text, and how many bytes after the cursor it replaces.
local function rest(buffer)
  local state = states[buffer]
  local item = state and state.items and state.items[state.index]
  if not item or api.nvim_get_current_buf() ~= buffer then
    return nil
  end
  local row, column = cursor()
  local line = api.nvim_get_current_line()
  if row ~= state.row or line:sub(1, #state.before) ~= state.before or line:sub(column + 1) ~= state.after then
    return nil
  end
  local typed = line:sub(#state.before + 1, column)
  if column < state.column or item.insertText:sub(1, #typed) ~= typed or #typed >= #item.insertText then
    return nil
  end
  return item.insertText:sub(#typed + 1), item.over, item
end

local function show(buffer)
  clear(buffer)
  local text, over = rest(buffer)
  if not text then
    return false
  end
  local row, column = cursor()
  local lines = vim.split(text, '\n', { plain = true })
  local first = lines[1]
  -- What the suggestion has in common with the text it replaces is on the screen already.
  local covered = api.nvim_get_current_line():sub(column + 1, column + over)
  local from, to = nil, nil
  if covered ~= '' then
    from, to = first:find(covered, 1, true)
  end
  local tail = from and first:sub(to + 1) or ''
  local head = from and first:sub(1, from - 1) or first
  -- Else it comes back further down: on this line it is covered.
  local hides = covered ~= '' and not from
  if hides then
    local missing = vim.fn.strdisplaywidth(covered) - vim.fn.strdisplaywidth(head)
    head = head .. (' '):rep(math.max(missing, 0))
  end
  local below = {}
  for i = 2, #lines do
    below[#below + 1] = { { lines[i], 'RemaskGhost' } }
  end
  api.nvim_buf_set_extmark(buffer, namespace, row, column, {
    virt_text = { { head, 'RemaskGhost' } },
    virt_text_pos = hides and 'overlay' or 'inline',
    virt_lines = #below > 0 and below or nil,
    hl_mode = 'combine',
  })
  if tail ~= '' then
    api.nvim_buf_set_extmark(buffer, namespace, row, column + over, {
      virt_text = { { tail, 'RemaskGhost' } },
      virt_text_pos = 'inline',
      hl_mode = 'combine',
    })
  end
  return true
end

local function cancel(state)
  if state.timer then
    state.timer:stop()
    if not state.timer:is_closing() then
      state.timer:close()
    end
    state.timer = nil
  end
  local client = vim.lsp.get_client_by_id(state.client_id)
  if client and state.request then
    client:cancel_request(state.request)
  end
  state.request = nil
end

local function ask(buffer, kind)
  local state = states[buffer]
  local client = state and vim.lsp.get_client_by_id(state.client_id)
  if not client or api.nvim_get_current_buf() ~= buffer or not insert_mode() then
    return
  end
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = kind }
  local tick = api.nvim_buf_get_changedtick(buffer)
  local row, column = cursor()
  local _, request = client:request(METHOD, params, function(err, result)
    state.request = nil
    if err or not insert_mode() or api.nvim_get_current_buf() ~= buffer then
      return
    end
    local now_row, now_column = cursor()
    if tick ~= api.nvim_buf_get_changedtick(buffer) or row ~= now_row or column ~= now_column then
      return
    end
    local line = api.nvim_get_current_line()
    local items = result and (result.items or result) or {}
    for _, item in ipairs(items) do
      local stop = vim.str_byteindex(line, client.offset_encoding, item.range['end'].character, false)
      item.over = math.max(stop - column, 0)
    end
    state.items, state.index, state.row, state.column = items, 1, row, column
    state.before, state.after = line:sub(1, column), line:sub(column + 1)
    show(buffer)
  end, buffer)
  state.request = request
end

local function typed(buffer)
  local state = states[buffer]
  if not show(buffer) then
    state.items = nil
  end
  cancel(state)
  state.timer = vim.defer_fn(function()
    ask(buffer, AUTOMATIC)
  end, state.debounce)
end

function M.attach(client, buffer, options)
  api.nvim_set_hl(0, 'RemaskGhost', { link = 'NonText', default = true })
  states[buffer] = { client_id = client.id, debounce = options.debounce, index = 1, row = 0, column = 0, before = '', after = '' }
  local group = api.nvim_create_augroup('remask.inline.' .. buffer, { clear = true })
  local function on(events, action)
    api.nvim_create_autocmd(events, { group = group, buffer = buffer, callback = action })
  end
  on({ 'InsertEnter', 'CursorMovedI', 'TextChangedI', 'TextChangedP' }, function()
    typed(buffer)
  end)
  on('InsertLeave', function()
    cancel(states[buffer])
    forget(buffer)
  end)
  on({ 'LspDetach', 'BufWipeout' }, function(event)
    if event.event == 'BufWipeout' or (event.data and event.data.client_id == client.id) then
      cancel(states[buffer])
      forget(buffer)
      states[buffer] = nil
      api.nvim_del_augroup_by_id(group)
    end
  end)
end

function M.accept(buffer, part)
  if not rest(buffer) then
    return false
  end
  -- A mapping that is an expression must not change text: do it right after, when what was typed before is in it, too.
  vim.schedule(function()
    local text, over, item = rest(buffer)
    if not text then
      return
    end
    local row, column = cursor()
    local kept = require('remask.parts')[part](text)
    local whole = kept == text
    local lines = vim.split(kept, '\n', { plain = true })
    local client = vim.lsp.get_client_by_id(states[buffer].client_id)
    vim.cmd.let('&undolevels = &undolevels') -- one undo takes back the suggestion and nothing else
    api.nvim_buf_set_text(buffer, row, column, row, column + (whole and over or 0), lines)
    api.nvim_win_set_cursor(0, { row + #lines, (#lines == 1 and column or 0) + #lines[#lines] })
    if whole then
      forget(buffer)
    end
    if client then
      local partly = { command = 'remask.partlyAccepted', arguments = { vim.uri_from_bufnr(buffer) } }
      client:exec_cmd(whole and item.command or partly, { bufnr = buffer })
    end
  end)
  return true
end

function M.cycle(buffer, step)
  local state = states[buffer]
  if not state or not state.items or #state.items < 2 then
    M.trigger(buffer)
    return
  end
  state.index = (state.index - 1 + step) % #state.items + 1
  vim.schedule(function()
    show(buffer)
  end)
end

function M.trigger(buffer)
  vim.schedule(function()
    if states[buffer] then
      cancel(states[buffer])
      ask(buffer, INVOKED)
    end
  end)
end

function M.dismiss(buffer)
  if not rest(buffer) then
    return false
  end
  vim.schedule(function()
    cancel(states[buffer])
    forget(buffer)
  end)
  return true
end

return M
