-- Neovim 0.12: its own inline completion shows the suggestions; what it has no function for is here.
local M = {}
local api = vim.api

function M.attach(client, buffer)
  vim.lsp.inline_completion.enable(true, { bufnr = buffer, client_id = client.id })
end

local function completor(buffer)
  local ok, capability = pcall(require, 'vim.lsp._capability')
  local all = ok and capability.all and capability.all.inline_completion
  return all and all.active and all.active[buffer]
end

function M.accept(buffer, part)
  if part == 'all' then
    return vim.lsp.inline_completion.get({ bufnr = buffer })
  end
  return vim.lsp.inline_completion.get({
    bufnr = buffer,
    on_accept = function(item)
      local text = item.insert_text
      local kept = require('remask.parts')[part](text)
      if type(text) ~= 'string' or not item.range or kept == text then
        return item
      end
      local row, column = item.range:to_extmark()
      local lines = vim.split(kept, '\n')
      api.nvim_buf_set_text(buffer, row, column, row, column, lines)
      api.nvim_win_set_cursor(0, { row + #lines, (#lines == 1 and column or 0) + #lines[#lines] })
      local client = vim.lsp.get_client_by_id(item.client_id)
      if client then
        client:exec_cmd({ command = 'remask.partlyAccepted', arguments = { vim.uri_from_bufnr(buffer) } })
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
