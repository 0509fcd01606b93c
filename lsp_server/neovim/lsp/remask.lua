-- What `vim.lsp.enable('remask')` starts. Change it with `vim.lsp.config('remask', { ... })`, or with
-- `require('remask').setup({ ... })`.
---@type vim.lsp.Config
return {
  cmd = { 'remask', 'lsp' },
  filetypes = { 'python', 'javascript', 'javascriptreact', 'typescript', 'typescriptreact' },
  root_markers = { '.git', 'pyproject.toml', 'package.json', 'tsconfig.json' },
  -- Neovim 0.11 has no ghost text of its own and does not say that it can show some; lua/remask/inline.lua can.
  capabilities = { textDocument = { inlineCompletion = { dynamicRegistration = false } } },
  settings = { remask = vim.empty_dict() },
  handlers = {
    ['remask/status'] = function(_, status)
      require('remask').on_status(status)
    end,
  },
  on_attach = function(client, buffer)
    require('remask').attach(client, buffer)
  end,
}
