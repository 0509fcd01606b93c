-- Neovim 0.12: its own inline completion shows the suggestions; what it has no function for is here.
local M = {}
local api = vim.api

local METHOD = 'textDocument/inlineCompletion'
local after = {} ---@type table<integer, string?> by buffer: what stood behind the cursor when the answer was asked for

function M.attach(client, buffer)
  vim.lsp.inline_completion.enable(true, { bufnr = buffer, client_id = client.id })
  local group = api.nvim_create_augroup('remask.native.' .. buffer, { clear = true })
  local asked = {}
  api.nvim_create_autocmd('LspRequest', {
    group = group,
    buffer = buffer,
    callback = function(event)
      local id, request = event.data.request_id, event.data.request
      if event.data.client_id ~= client.id or request.method ~= METHOD then
        return
      elseif request.type == 'pending' and api.nvim_get_current_buf() == buffer then
        asked[id] = api.nvim_get_current_line():sub(api.nvim_win_get_cursor(0)[2] + 1)
      elseif request.type == 'complete' then
        after[buffer], asked[id] = asked[id], nil
      elseif request.type == 'cancel' then
        asked[id] = nil
      end
    end,
  })
  api.nvim_create_autocmd('BufWipeout', {
    group = group,
    buffer = buffer,
    callback = function()
      after[buffer] = nil
      api.nvim_del_augroup_by_id(group)
    end,
  })
end

local function completor(buffer)
  local ok, capability = pcall(require, 'vim.lsp._capability')
  local all = ok and capability.all and capability.all.inline_completion
  return all and all.active and all.active[buffer]
end

-- What is left of an item at the cursor, and how many bytes behind the cursor it replaces. Neovim goes on showing an
-- item while the next is asked for, and would put all of it where it was meant for, beside what was typed since.
local function rest(buffer, item)
  local text = item.insert_text
  if api.nvim_get_current_buf() ~= buffer or type(text) ~= 'string' then
    return nil
  end
  local first_row, first, last_row, last = item.range:to_extmark()
  local at, line = api.nvim_win_get_cursor(0), api.nvim_get_current_line()
  local row, column = at[1] - 1, at[2]
  local typed = line:sub(first + 1, column)
  if row ~= first_row or column < first or not vim.startswith(text, typed) or #typed >= #text then
    return nil
  end
  local behind = line:sub(column + 1)
  if after[buffer] and behind ~= after[buffer] then
    return nil
  end
  local over = last_row == first_row and last - first or 0
  return text:sub(#typed + 1), math.min(over, #behind)
end

function M.accept(buffer, part)
  local shown = completor(buffer)
  local current = shown and shown.current
  if current and current.range and not rest(buffer, current) then
    shown:abort()
    return false
  end
  return vim.lsp.inline_completion.get({
    bufnr = buffer,
    on_accept = function(item)
      if not item.range then
        return item -- another server's
      end
      local text, over = rest(buffer, item)
      if not text then
        return
      end
      local kept = require('remask.parts')[part](text)
      local whole = kept == text
      local row, column = api.nvim_win_get_cursor(0)[1] - 1, api.nvim_win_get_cursor(0)[2]
      local lines = vim.split(kept, '\n', { plain = true })
      vim.cmd.let('&undolevels = &undolevels') -- one undo takes back the suggestion and nothing else
      api.nvim_buf_set_text(buffer, row, column, row, column + (whole and over or 0), lines)
      api.nvim_win_set_cursor(0, { row + #lines, (#lines == 1 and column or 0) + #lines[#lines] })
      local client = vim.lsp.get_client_by_id(item.client_id)
      local partly = { command = 'remask.partlyAccepted', arguments = { vim.uri_from_bufnr(buffer) } }
      local command = whole and item.command or not whole and partly
      if client and command then
        client:exec_cmd(command, { bufnr = buffer })
      end
    end,
  })
end

function M.cycle(buffer, step)
  local shown = completor(buffer)
  if shown and shown.count_items and shown:count_items() < 2 then
    M.trigger(buffer)
  else
    vim.lsp.inline_completion.select({ bufnr = buffer, count = step })
  end
end

-- Neovim has no function to ask for several suggestions yet; without this one it shows what it has.
function M.trigger(buffer)
  local shown = completor(buffer)
  if shown and shown.request then
    vim.schedule(function()
      pcall(shown.request, shown, vim.lsp.protocol.InlineCompletionTriggerKind.Invoked)
    end)
  end
end

function M.dismiss(buffer)
  local shown = completor(buffer)
  if not (shown and shown.current) then
    return false
  end
  vim.schedule(function()
    shown:abort()
  end)
  return true
end

return M
