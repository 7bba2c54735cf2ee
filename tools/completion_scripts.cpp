// The scripts that make bash, zsh and fish ask the program what may follow.
#include "tools/completion.h"

namespace gestalt::tools {
namespace {

constexpr const char* bash = R"script(# Completion of gestalt in bash: the program itself says what may follow.
_gestalt() {
  # bash also takes words apart at : and =; they are put together where no blank is between them.
  local rest=${COMP_LINE:0:COMP_POINT} words=() word= i
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $rest =~ ^[[:space:]]+ ]]; then
      rest=${rest#"${BASH_REMATCH[0]}"}
      words+=("")
    elif ((i == 0)); then
      words+=("")
    fi
    ((${#word} > ${#rest})) && word=$rest
    rest=${rest#"$word"}
    words[${#words[@]} - 1]+=$word
  done
  local begun=${words[${#words[@]} - 1]}
  [[ $word == [:=] ]] && word=
  local before=${begun%"$word"} line
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files* ]]; then
      compopt -o default
    else
      line=${line%%$'\t'*}
      COMPREPLY+=("${line#"$before"}")
    fi
  done < <("${words[0]}" list words -- "${words[@]:1}" 2>/dev/null)
  [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[:=] ]] && compopt -o nospace
}
complete -F _gestalt gestalt
)script";

constexpr const char* zsh = R"script(#compdef gestalt
# Completion of gestalt in zsh: the program itself says what may follow.
_gestalt() {
  local line before word
  local -a full open
  while IFS= read -r line; do
    if [[ $line == ':files '* ]]; then
      before=${line#:files }
      [[ -n $before ]] && compset -P "${(b)before}"
      _files
    else
      word=${${line%%$'\t'*}//:/\\:}
      [[ $line == *$'\t'* ]] && word+=:${line#*$'\t'}
      if [[ ${line%%$'\t'*} == *[:=] ]]; then open+=($word); else full+=($word); fi
    fi
  done < <("${(Q)words[1]}" list words -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
  (($#full)) && _describe gestalt full
  (($#open)) && _describe gestalt open -S ''
}
if [[ $funcstack[1] == _gestalt ]]; then _gestalt "$@"; else compdef _gestalt gestalt; fi
)script";

constexpr const char* fish = R"script(# Completion of gestalt in fish: the program itself says what may follow.
function __gestalt_words
    set -l begun (commandline -ct)
    set -l words (commandline -opc)
    for line in ($words[1] list words -- $words[2..-1] "$begun" 2>/dev/null)
        if string match -q ':files *' -- $line
            set -l before (string replace ':files ' '' -- $line)
            for path in (__fish_complete_path (string replace -- "$before" '' "$begun"))
                echo $before$path
            end
        else
            echo $line
        end
    end
end
complete -c gestalt -f -a '(__gestalt_words)'
)script";

}  // namespace

const std::vector<CompletionScript>& completion_scripts() {
  static const std::vector<CompletionScript> all{
      {"bash", "for bash: source <(gestalt list completion bash)", bash},
      {"zsh", "for zsh: source <(gestalt list completion zsh)", zsh},
      {"fish", "for fish: gestalt list completion fish | source", fish},
  };
  return all;
}

}  // namespace gestalt::tools
