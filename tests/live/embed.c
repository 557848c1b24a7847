/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program with Python inside, as python itself is one. MOVED has the linker ask the
 * loader to move some of Python's variables into the program. */
#include <Python.h>
#include <sys/prctl.h>

#ifdef MOVED
extern struct _moved _PyRuntime;
#endif

int main(int argc, char **argv)
{
#ifdef MOVED
	static void *volatile moved[3];
	moved[0] = &PyDict_Type;
	moved[1] = &PyType_Type;
	moved[2] = &_PyRuntime;
#endif
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* an ordinary user's, to that user */
	return Py_BytesMain(argc, argv);
}
