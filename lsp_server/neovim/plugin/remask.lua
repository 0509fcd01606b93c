-- :Remask {pause|resume|restart|stats|source|fix|health}
if vim.g.loaded_remask then
  return
end
vim.g.loaded_remask = true

vim.api.nvim_create_user_command('Remask', function(command)
  local name, argument = command.fargs[1], command.fargs[2]
  local action = require('remask').commands[name]
  if action then
    action(argument)
  else
    vim.notify('Remask has no command ' .. tostring(name), vim.log.levels.ERROR)
  end
end, {
  nargs = '+',
  desc = 'Control Remask',
  complete = function(lead, line)
    local given = line:match('Remask!?%s+(%S+)%s')
    local remask = require('remask')
    local names = vim.tbl_keys(remask.commands)
    if given then
      names = (given == 'pause' or given == 'resume') and vim.list_slice(remask.filetypes()) or {}
    end
    table.sort(names)
    return vim.tbl_filter(function(name)
      return vim.startswith(name, lead)
    end, names)
  end,
})
