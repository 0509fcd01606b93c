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
  -- Neovim sends settings after the start, too late for those that say what the server offers (`completion.popup`).
  before_init = function(params, config)
    params.initializationOptions =
      vim.tbl_deep_extend('force', config.settings.remask, params.initializationOptions or {})
  end,
  handlers = {
    ['remask/status'] = function(_, status, context)
      require('remask').on_status(context.client_id, status)
    end,
  },
  on_attach = function(client, buffer)
    require('remask').attach(client, buffer)
  end,
  on_exit = vim.schedule_wrap(function(_, _, client_id)
    require('remask').on_exit(client_id)
  end),
}
