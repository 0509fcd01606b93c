-- The part of a suggestion that one key accepts.
local M = {}

function M.all(text)
  return text
end

--- Blanks and line breaks, then a name, or else one character that is none.
function M.word(text)
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%s]') or text
end

--- The rest of the line; the whole next line where that is where the suggestion begins.
function M.line(text)
  return text:match('^\n?[^\n]*')
end

return M
