/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program that loads libpython, as often as it is told: HOST [HOW:LIBRARY:CODE …], HOW:
 * i(dle) = not initialised, r(un), e(nd) = run and finalised; in capitals: in a namespace
 * of its own. */
#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void run(void *lib, const char *code, int how)
{
	((void (*)(int))dlsym(lib, "Py_InitializeEx"))(0);
	((int (*)(const char *))dlsym(lib, "PyRun_SimpleString"))(code);
	if (how == 'e')
		((int (*)(void))dlsym(lib, "Py_FinalizeEx"))();
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char how = *strtok(argv[i], ":"), *file = strtok(NULL, ":"), *code = strtok(NULL, "");
		void *lib = isupper(how) ? dlmopen(LM_ID_NEWLM, file, RTLD_NOW)
					 : dlopen(file, RTLD_NOW | (how == 'i' ? RTLD_LOCAL : RTLD_GLOBAL));
		if (!lib) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		if (tolower(how) != 'i')
			run(lib, code, tolower(how));
	}
	puts("ready");
	fflush(stdout);
	return getchar() == EOF;
}
