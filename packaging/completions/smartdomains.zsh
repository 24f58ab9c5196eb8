# Completion of the commands of smartdomains; written by scripts/manuals.py.
# Read it at the start of your shell: source smartdomains.zsh
#compdef sf

_sf_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sf] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SF_COMPLETE=zsh_complete sf)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sf_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sf_completion sf
fi
#compdef sfca

_sfca_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfca] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFCA_COMPLETE=zsh_complete sfca)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfca_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfca_completion sfca
fi
compdef _sfca_completion sfCa
#compdef sfcall

_sfcall_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfcall] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFCALL_COMPLETE=zsh_complete sfcall)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfcall_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfcall_completion sfcall
fi
compdef _sfcall_completion sfCall
#compdef sfconsole

_sfconsole_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfconsole] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFCONSOLE_COMPLETE=zsh_complete sfconsole)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfconsole_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfconsole_completion sfconsole
fi
compdef _sfconsole_completion sfConsole
#compdef sfdaemon

_sfdaemon_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfdaemon] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFDAEMON_COMPLETE=zsh_complete sfdaemon)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfdaemon_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfdaemon_completion sfdaemon
fi
compdef _sfdaemon_completion sfDaemon
#compdef sfdetach

_sfdetach_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfdetach] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFDETACH_COMPLETE=zsh_complete sfdetach)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfdetach_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfdetach_completion sfdetach
fi
compdef _sfdetach_completion sfDetach
#compdef sfdetachandterminate

_sfdetachandterminate_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfdetachandterminate] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFDETACHANDTERMINATE_COMPLETE=zsh_complete sfdetachandterminate)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfdetachandterminate_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfdetachandterminate_completion sfdetachandterminate
fi
compdef _sfdetachandterminate_completion sfDetachAndTerminate
#compdef sfdiag

_sfdiag_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfdiag] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFDIAG_COMPLETE=zsh_complete sfdiag)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfdiag_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfdiag_completion sfdiag
fi
compdef _sfdiag_completion sfDiag
#compdef sfdl

_sfdl_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfdl] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFDL_COMPLETE=zsh_complete sfdl)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfdl_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfdl_completion sfdl
fi
#compdef sfdoctor

_sfdoctor_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfdoctor] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFDOCTOR_COMPLETE=zsh_complete sfdoctor)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfdoctor_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfdoctor_completion sfdoctor
fi
compdef _sfdoctor_completion sfDoctor
#compdef sfdrain

_sfdrain_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfdrain] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFDRAIN_COMPLETE=zsh_complete sfdrain)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfdrain_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfdrain_completion sfdrain
fi
compdef _sfdrain_completion sfDrain
#compdef sfdump

_sfdump_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfdump] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFDUMP_COMPLETE=zsh_complete sfdump)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfdump_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfdump_completion sfdump
fi
compdef _sfdump_completion sfDump
#compdef sfevents

_sfevents_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfevents] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFEVENTS_COMPLETE=zsh_complete sfevents)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfevents_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfevents_completion sfevents
fi
compdef _sfevents_completion sfEvents
#compdef sfget

_sfget_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfget] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFGET_COMPLETE=zsh_complete sfget)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfget_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfget_completion sfget
fi
compdef _sfget_completion sfGet
#compdef sflist

_sflist_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sflist] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFLIST_COMPLETE=zsh_complete sflist)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sflist_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sflist_completion sflist
fi
compdef _sflist_completion sfList
#compdef sflog

_sflog_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sflog] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFLOG_COMPLETE=zsh_complete sflog)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sflog_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sflog_completion sflog
fi
compdef _sflog_completion sfLog
#compdef sfparse

_sfparse_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfparse] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFPARSE_COMPLETE=zsh_complete sfparse)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfparse_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfparse_completion sfparse
fi
compdef _sfparse_completion sfParse
#compdef sfping

_sfping_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfping] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFPING_COMPLETE=zsh_complete sfping)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfping_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfping_completion sfping
fi
compdef _sfping_completion sfPing
#compdef sfremove

_sfremove_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfremove] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFREMOVE_COMPLETE=zsh_complete sfremove)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfremove_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfremove_completion sfremove
fi
compdef _sfremove_completion sfRemove
#compdef sfrun

_sfrun_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfrun] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFRUN_COMPLETE=zsh_complete sfrun)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfrun_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfrun_completion sfrun
fi
compdef _sfrun_completion sfRun
#compdef sfset

_sfset_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfset] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFSET_COMPLETE=zsh_complete sfset)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfset_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfset_completion sfset
fi
compdef _sfset_completion sfSet
#compdef sfstart

_sfstart_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfstart] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFSTART_COMPLETE=zsh_complete sfstart)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfstart_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfstart_completion sfstart
fi
compdef _sfstart_completion sfStart
#compdef sfstatus

_sfstatus_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfstatus] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFSTATUS_COMPLETE=zsh_complete sfstatus)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfstatus_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfstatus_completion sfstatus
fi
compdef _sfstatus_completion sfStatus
#compdef sfstop

_sfstop_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfstop] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFSTOP_COMPLETE=zsh_complete sfstop)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfstop_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfstop_completion sfstop
fi
compdef _sfstop_completion sfStop
#compdef sfterminate

_sfterminate_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfterminate] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFTERMINATE_COMPLETE=zsh_complete sfterminate)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfterminate_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfterminate_completion sfterminate
fi
compdef _sfterminate_completion sfTerminate
#compdef sftui

_sftui_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sftui] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFTUI_COMPLETE=zsh_complete sftui)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sftui_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sftui_completion sftui
fi
compdef _sftui_completion sfTui
#compdef sfupdate

_sfupdate_completion() {
    local -a completions
    local -a completions_with_descriptions
    local -a response
    (( ! $+commands[sfupdate] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _SFUPDATE_COMPLETE=zsh_complete sfupdate)}")

    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done

    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi

    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _sfupdate_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _sfupdate_completion sfupdate
fi
compdef _sfupdate_completion sfUpdate
