"""Commands and their options as completion scripts of bash, zsh and fish."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NOTHING, ANYTHING, FILES, FOLDERS = "nothing", "anything", "files", "folders"

BASH = """\
# bash completion of bpnet; made by: bpnet completion bash
_bpnet_words() {  # what may stand in a command: its options where a dash is typed, else words
  case "$1" in
@WORDS@
  esac
}

_bpnet_values() {  # how many values an option takes, which, and the words that they may be
  case "$1 $2" in
@VALUES@
    *) echo "0 nothing" ;;
  esac
}

_bpnet() {
  local cur="${COMP_WORDS[COMP_CWORD]}" command="" option="" many kind words i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case " @PATHS@ " in
      *" ${command:+$command/}${COMP_WORDS[i]} "*)
        command="${command:+$command/}${COMP_WORDS[i]}" ;;
      *) break ;;
    esac
  done
  for ((i = COMP_CWORD - 1; i > 0; i--)); do
    if [[ "${COMP_WORDS[i]}" == -* ]]; then option="${COMP_WORDS[i]}"; break; fi
  done
  many=0 kind=nothing words=""
  if [[ -n "$option" && "$cur" != -* ]]; then
    read -r many kind words <<< "$(_bpnet_values "$command" "$option")"
    if [[ "$many" == 1 && "$i" -lt $((COMP_CWORD - 1)) ]]; then many=0; fi
  fi
  if [[ "$many" == 0 ]]; then
    COMPREPLY=($(compgen -W "$(_bpnet_words "$command" "$cur")" -- "$cur"))
  elif [[ -n "$words" ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
  elif [[ "$kind" == folders ]]; then
    compopt -o dirnames +o default 2> /dev/null
  elif [[ "$kind" == anything ]]; then
    compopt +o default 2> /dev/null
  fi
}
complete -o default -F _bpnet bpnet
"""

ZSH = """\
#compdef bpnet
# zsh completion of bpnet; made by: bpnet completion zsh
@FUNCTIONS@
_bpnet() {
  local context state state_descr line
  typeset -A opt_args
@MAIN@
}

if [ "$funcstack[1]" = "_bpnet" ]; then
  _bpnet "$@"
else
  compdef _bpnet bpnet
fi
"""

FISH = """\
# fish completion of bpnet; made by: bpnet completion fish
function __bpnet_in --description 'whether the words of a command stand first'
    set -l words (commandline -poc)
    set -e words[1]
    for i in (seq (count $argv))
        test "$words[$i]" = "$argv[$i]"; or return 1
    end
end

function __bpnet_next --description 'whether the word after those of a command is being typed'
    __bpnet_in $argv; and test (count (commandline -poc)) -eq (math (count $argv) + 1)
end

@LINES@
"""


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        names: Its spellings.
        help: What it says, short.
        takes: NOTHING, ANYTHING, FILES or FOLDERS.
        words: What its values may be; none: as ``takes`` says.
        many: It takes several values.
    """

    names: tuple[str, ...]
    help: str
    takes: str = NOTHING
    words: tuple[str, ...] = ()
    many: bool = False


@dataclass(frozen=True)
class Command:
    """A command and what may stand behind it.

    Attributes:
        path: The words that call it.
        does: What it does.
        options: Its options.
        words: Its own commands, or what its argument may be.
    """

    path: tuple[str, ...]
    does: str
    options: tuple[Option, ...]
    words: tuple[str, ...] = ()


def bash(commands: Sequence[Command]) -> str:
    """The script for bash, 3.2 and newer."""
    top = [command.path[0] for command in commands if len(command.path) == 1]
    words = [_bash_words("", top, ["-h", "--help", "--version"])]
    values = []
    for command in commands:
        name = "/".join(command.path)
        names = [spelling for option in command.options for spelling in option.names]
        words.append(_bash_words(name, command.words, names))
        for option in command.options:
            if option.takes != NOTHING or option.words:
                patterns = "|".join(f'"{name} {spelling}"' for spelling in option.names)
                said = [str(1 + option.many), option.takes, *option.words]
                values.append(f'    {patterns}) echo "{" ".join(said)}" ;;')
    paths = " ".join("/".join(command.path) for command in commands)
    script = BASH.replace("@WORDS@", "\n".join(words)).replace("@VALUES@", "\n".join(values))
    return script.replace("@PATHS@", paths)


def zsh(commands: Sequence[Command]) -> str:
    """The script for zsh: with a description of every option."""
    functions = []
    for command in commands:
        inner = [one for one in commands if one.path[:-1] == command.path]
        lines = [_zsh_option(option) for option in command.options]
        if inner:
            body = _zsh_dispatch(inner, "_".join(["_bpnet", *command.path]), lines)
        else:
            if command.words:
                lines.append(_quoted(f"1: :({' '.join(command.words)})"))
            elif any(option.many for option in command.options):
                lines.append("'*: :_files'")  # after the first value, which its option completes
            body = _zsh_arguments(lines)
        functions.append(f"_bpnet_{'_'.join(command.path)}() {{\n{body}\n}}\n")
    top = [command for command in commands if len(command.path) == 1]
    usual = ["'(- *)'{-h,--help}'[show the help and exit]'"]
    usual.append("'(- *)--version[show the version and exit]'")
    main = _zsh_dispatch(top, "_bpnet", usual)
    return ZSH.replace("@FUNCTIONS@", "\n".join(functions)).replace("@MAIN@", main)


def fish(commands: Sequence[Command]) -> str:
    """The script for fish, 3.0 and newer: with a description of every option."""
    lines = ["complete -c bpnet -n __bpnet_next -f"]
    lines += ["complete -c bpnet -n __bpnet_next -s h -l help -d 'show the help and exit'"]
    lines += ["complete -c bpnet -n __bpnet_next -l version -d 'show the version and exit'"]
    for command in commands:
        above = " ".join(["__bpnet_next", *command.path[:-1]])
        said = f"-a {command.path[-1]} -d {_fish_quoted(command.does)}"
        lines.append(f"complete -c bpnet -n '{above}' -f {said}")
    described = {command.path for command in commands}
    for command in commands:
        for word in command.words:
            if (*command.path, word) not in described:
                lines.append(
                    f"complete -c bpnet -n '__bpnet_next {' '.join(command.path)}' -f -a {word}"
                )
        inside = f"complete -c bpnet -n '__bpnet_in {' '.join(command.path)}'"
        for option in command.options:
            names = " ".join(map(_fish_name, option.names))
            value = _fish_value(option)
            lines.append(f"{inside} {names} -d {_fish_quoted(option.help)}{value}")
    return FISH.replace("@LINES@", "\n".join(lines))


SHELLS: dict[str, Callable[[Sequence[Command]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}


def _bash_words(name: str, words: Sequence[str], options: Sequence[str]) -> str:
    said = f'echo "{" ".join(options)}"'
    if words:
        said = f'[[ "$2" == -* ]] && {said} || echo "{" ".join(words)}"'
    return f'    "{name}") {said} ;;'


def _zsh_dispatch(inner: Sequence[Command], function: str, lines: list[str]) -> str:
    """The body of a function that completes one of ``inner``, then calls that one's function."""
    described = " ".join(
        _quoted(f"{command.path[-1]}:{command.does.replace(':', chr(92) + ':')}")
        for command in inner
    )
    arguments = _zsh_arguments(["-C", *lines, "'1: :->command'", "'*:: :->rest'"])
    cases = "|".join(command.path[-1] for command in inner)
    return f"""{arguments}
  local -a commands=({described})
  case $state in
    command) _describe command commands ;;
    rest)
      case $line[1] in
        {cases}) {function}_$line[1] ;;
      esac ;;
  esac"""


def _zsh_arguments(specs: Sequence[str]) -> str:
    return " \\\n    ".join(["  _arguments -s", *specs])


def _zsh_option(option: Option) -> str:
    """An option as ``_arguments`` takes it."""
    special = str.maketrans({"[": r"\[", "]": r"\]", ":": r"\:", "\\": r"\\"})
    described = f"[{option.help.translate(special)}]"
    value = ""
    if option.takes != NOTHING or option.words:
        action = {FILES: "_files", FOLDERS: "_files -/"}.get(option.takes, " ")
        if option.words:
            action = f"({' '.join(option.words)})"
        value = f": :{action}"
    if len(option.names) == 1:
        return _quoted(f"{option.names[0]}{described}{value}")
    several = ",".join(option.names)
    return f"'({' '.join(option.names)})'{{{several}}}{_quoted(described + value)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"


def _fish_name(name: str) -> str:
    """``-s`` for one letter, ``-l`` after two dashes, ``-o`` for several letters after one."""
    bare = name.lstrip("-")
    if name.startswith("--"):
        return f"-l {bare}"
    return f"-s {bare}" if len(bare) == 1 else f"-o {bare}"


def _fish_value(option: Option) -> str:
    if option.words:
        return f" -x -a {shlex.quote(' '.join(option.words))}"
    return {
        NOTHING: "",
        ANYTHING: " -x",
        FILES: " -r -F",
        FOLDERS: " -x -a '(__fish_complete_directories)'",
    }[option.takes]


def _fish_quoted(text: str) -> str:
    """In single quotes, where fish knows two escapes."""
    return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"
