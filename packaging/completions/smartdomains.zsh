# Completion of the commands of smartdomains; written by scripts/manuals.py.
# Read it at the start of your shell: source smartdomains.zsh
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
