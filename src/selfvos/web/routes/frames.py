"""Frames of a video, as pictures."""

from fastapi import APIRouter, Response

from selfvos.web.routes.projects import Here

router = APIRouter(prefix="/api/projects/{id}")


@router.get("/frames/{index}.jpg")
def frame(id: str, index: int, here: Here, w: int = 960) -> Response:
    """Return a frame, about `w` pixels wide or as wide as it is."""
    with here.use(id) as one:
        one.project.check_frame(index)
        jpeg = one.frames.jpeg(index, w)
    return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})
